"""`restart`: stops a bot gracefully, starts it, and waits until it is healthy."""

import asyncio
import time
import uuid
from datetime import timedelta
from typing import Any

import click

from trading_ops.cli.actions import end_of
from trading_ops.cli.console import print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.reconciler_connection import (
    command_settings,
    connected,
)
from trading_ops.cli.restart import restart_bots, restart_options
from trading_ops.clients.http import session_of
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Kind, Manager, Registry, Target
from trading_ops.errors import SetupError, StackError, Unreachable
from trading_ops_lab.supervisor.client import SupervisorClient
from trading_ops_lab.supervisor.health_wait import wait_until_healthy
from trading_ops_lab.supervisor.process import AskHttp

WELL_SECONDS = 60.0


@click.command()
@restart_options
@click.pass_context
def restart(
    context: click.Context,
    bots: tuple[str, ...],
    reason: str,
    owner: str,
    output: str,
    *,
    drain: bool,
    canary: float,
    override_budget: bool | None,
) -> None:
    """Restart each BOT, and wait until the new process has recovered and trades again.

    Uses the reconciler and its gates. For a single bot of this stack it uses the supervisor
    directly if the reconciler does not answer. Without --drain a healthy bot is not restarted.
    Several bots are restarted one after another. The first is the canary: it must stay healthy for
    a while, without a critical incident. The first failure ends the command, and the remaining
    bots are not restarted. Exits with 1 when a restart is refused or fails, or a bot is not healthy
    within a minute.
    """
    settings = command_settings()
    registry = load_targets(settings.targets_file)
    action = "roll_bot" if drain else "restart_bot"
    if len(bots) > 1 or not _is_ours(registry, bots[0]):
        restart_bots(
            context,
            settings,
            bots,
            action=action,
            canary=timedelta(seconds=canary),
            owner=owner,
            reason=reason,
            override_budget=override_budget,
            output=output,
        )
        return
    (bot,) = bots
    target = bot_of(registry, bot)
    began = time.monotonic()
    before = process_of(settings, target)
    problem = asyncio.run(
        _restart(
            settings,
            registry,
            target,
            before,
            action=action,
            owner=owner,
            reason=reason,
            override_budget=override_budget,
        )
    )
    problem = problem or asyncio.run(_wait(settings, target, before))
    result = {"bot": bot, "restarted": problem is None, "problem": problem}
    result |= {"before": before["incarnation"], "seconds": round(time.monotonic() - began, 1)}
    if output == "json":
        print_json(result)
    elif problem is None:
        click.echo(f"{bot} was restarted and is healthy after {result['seconds']} s")
    else:
        click.echo(f"{bot}: {problem}", err=True)
    if problem is not None:
        context.exit(ExitCode.FAILED)


def _is_ours(registry: Registry, name: str) -> bool:
    found = registry.find(name)
    service = found.service if found else None
    return service is not None and service.manager is Manager.SUPERVISOR


def bot_of(registry: Registry, name: str) -> Target:
    """Return a bot that the supervisor runs.

    Raises:
        SetupError: there is no such bot.
    """
    found = registry.find(name)
    if found is None or found.kind is not Kind.BOT:
        raise SetupError(f"targets.yml has no bot {name!r} with our agent")
    if found.service is None or found.service.manager is not Manager.SUPERVISOR:
        raise SetupError(
            f"{name} is not managed by this stack: restart it with its own service manager"
        )
    return found


def process_of(settings: Settings, target: Target) -> dict[str, Any]:
    """Return the supervisor's state of a bot's process.

    Raises:
        StackError: no stack is running, or it has no such unit.
    """
    unit = target.service.unit if target.service else target.name
    for process in SupervisorClient(settings).overview()["processes"]:
        if process["unit"] == unit:
            return dict(process)
    raise StackError(f"the supervisor has no unit {unit}")


async def _restart(
    settings: Settings,
    registry: Registry,
    target: Target,
    before: dict[str, Any],
    *,
    action: str,
    owner: str,
    reason: str,
    override_budget: bool | None,
) -> str | None:
    """Request the restart; return why it failed, or None."""
    try:
        async with connected(settings, registry) as api:
            done = await api.execute(
                action, target.name, {}, owner=owner, reason=reason, override_budget=override_budget
            )
            if done.attempt is None:
                refusal = done.refusal
                return f"refused: {refusal.note}. To open it: {refusal.opens}" if refusal else "?"
            attempt = await end_of(api, done.attempt)
            well = attempt.state in {"completed", "started"}
            return None if well else f"{attempt.state}: {attempt.detail}"
    except Unreachable as error:
        click.echo(f"{error}. Using the supervisor directly.", err=True)
    answer = SupervisorClient(settings).restart(
        before["unit"], incarnation=before["incarnation"], attempt_id=f"hand:{uuid.uuid4()}"
    )
    return None if answer["outcome"] == "succeeded" else str(answer.get("detail"))


async def _wait(settings: Settings, target: Target, before: dict[str, Any]) -> str | None:
    question = AskHttp(url=f"{target.url}/health", token_file=settings.secrets / "metrics_token")
    another: list[str] = []

    def life() -> str | None:
        now = str(process_of(settings, target)["incarnation"])
        if now != before["incarnation"]:
            another.append(now)
        return another[-1] if another else None

    async with session_of(settings) as session:
        return await wait_until_healthy(question, session, life=life, within_seconds=WELL_SECONDS)
