"""`trading-ops status`: show the registered processes and whether they answer."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from trading_ops import clock
from trading_ops.cli.console import output_option, print_json, selection_options
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.timeline import plain
from trading_ops.errors import TradingOpsError

if TYPE_CHECKING:
    from trading_ops.clients.reconciler_views import AgentView, TargetView
    from trading_ops.config.settings import Settings
    from trading_ops.doctor.connections import Connections
    from trading_ops.domain.target import Registry, Target

SILENT = timedelta(seconds=10)
"""The reconciler queries each bot once a second."""


@dataclass(frozen=True)
class TargetState:
    """The state of one target."""

    summary: str
    ok: bool


@click.command()
@selection_options
@output_option
@click.pass_context
def status(context: click.Context, *, team: str | None, host: str | None, output: str) -> None:
    """Show every registered process, the state of automation, and holds.

    The bots are shown as the reconciler knows them; without a reconciler each is queried directly.

    Exits with 0 when all answer, 1 when one does not, 3 when no reconciler answers.
    """
    from trading_ops.config.loading import load_settings  # noqa: PLC0415
    from trading_ops.config.targets import load_targets  # noqa: PLC0415
    from trading_ops.domain.target import Kind, Registry, Selection  # noqa: PLC0415

    settings = load_settings()
    registry = load_targets(settings.targets_file)
    selected = {target.name for target in registry.select(Selection(team=team, host=host))}
    reconcilers = registry.of_kind(Kind.RECONCILER)
    wanted = tuple(
        target for target in registry if target.name in selected or target.kind is Kind.RECONCILER
    )
    found, lines = asyncio.run(_overview(settings, Registry(wanted)))
    shown = [
        (target, found[target.name])
        for target in registry
        if target.name in selected and target.name in found
    ]
    if output == "json":
        targets = [
            {
                "name": target.name,
                "kind": target.kind,
                "address": target.address,
                "team": target.team,
                "host": target.host,
                "state": state.summary,
                "ok": state.ok,
            }
            for target, state in shown
        ]
        print_json({"targets": targets, "automation": lines})
    else:
        _print_table(shown)
        for line in lines:
            click.echo(line)
    if not any(found[target.name].ok for target in reconcilers):
        context.exit(ExitCode.NOT_RUNNING)
    if not all(state.ok for _, state in shown):
        context.exit(ExitCode.FAILED)


async def _overview(
    settings: "Settings", registry: "Registry"
) -> tuple[dict[str, TargetState], list[str]]:
    """Return the state of each target that can be queried, by name, and the lines below them."""
    from trading_ops.cli.automation import automation_and_targets  # noqa: PLC0415
    from trading_ops.clients.reconciler import ReconcilerApi  # noqa: PLC0415
    from trading_ops.doctor.connections import ALIVE, connections  # noqa: PLC0415
    from trading_ops.domain.target import BOTS, Kind  # noqa: PLC0415

    bots = [target for target in registry if target.kind in BOTS]
    async with connections(settings, registry) as ask:
        found = await _ask(ask, (target for target in registry if target.kind in ALIVE))
        for target in registry.of_kind(Kind.RECONCILER):
            if not found[target.name].ok:
                continue
            try:
                api = ReconcilerApi(ask.http(target, settings.command_token))
                lines, known = await automation_and_targets(
                    api, {target.name for target in registry}
                )
            except TradingOpsError as error:
                lines = [f"automation: unknown ({error})"]
                break
            views = {view.name: view for view in known}
            return found | {bot.name: _reported(views.get(bot.name)) for bot in bots}, lines
        else:
            lines = ["automation: no reconciler answers"]
        return found | await _ask(ask, bots), lines


async def _ask(ask: "Connections", targets: Iterable["Target"]) -> dict[str, TargetState]:
    async def state(target: "Target") -> tuple[str, TargetState]:
        try:
            return target.name, TargetState(await ask.alive(target), ok=True)
        except TradingOpsError as error:
            return target.name, TargetState(str(error), ok=False)

    return dict(await asyncio.gather(*map(state, targets)))


def _reported(view: "TargetView | None") -> TargetState:
    """Return the state of a bot according to the reconciler."""
    from trading_ops.doctor.connections import healthy, unhealthy  # noqa: PLC0415

    if view is None:
        return TargetState("unknown to the running reconciler", ok=False)
    agent: AgentView | None = view.agent
    if agent is None:
        return TargetState("no answer since the reconciler started", ok=False)
    age = clock.now() - agent.answered_at
    if age > SILENT:
        return TargetState(f"no answer for {age.total_seconds():.0f} s", ok=False)
    if agent.status != "ok":
        return TargetState(unhealthy(agent.status, agent.components), ok=False)
    return TargetState(healthy(agent.state), ok=True)


def _print_table(shown: Iterable[tuple["Target", TargetState]]) -> None:
    """Print it plainly: a thousand rows of a Rich table take half a second."""
    rows = [
        (target.name, str(target.kind), target.address, plain(state.summary))
        for target, state in shown
    ]
    rows.insert(0, ("target", "kind", "address", "state"))
    name, kind, address, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    click.echo("\n".join(f"{a:{name}} {b:{kind}} {c:{address}} {d}" for a, b, c, d in rows))
