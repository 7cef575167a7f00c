"""`trading-ops restart`: restart bots through the reconciler and the nodes of their hosts."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

import click

from trading_ops.cli.actions import end_of
from trading_ops.cli.console import Command, output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.reconciler_connection import (
    command_settings,
    connected,
    override_budget_option,
    owner_option,
    reason_option,
)
from trading_ops.cli.rolling import ObservedBot, Requested, Rolled, roll
from trading_ops.clients.directory import Directory
from trading_ops.clients.http import session_of
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.clients.reconciler_views import ActionOutcomeView
from trading_ops.clients.secrets import SecretFiles
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import SetupError, TradingOpsError, Unreachable

HEALTHY_WITHIN = timedelta(seconds=60)
CANARY_SECONDS = 60.0
OUTCOMES = {"completed": True, "started": None, "unknown": None}
"""Whether the bot was restarted, by the state of the attempt; in other states it was not."""

CRITICAL = frozenset({"critical", "emergency"})

canary_option = click.option(
    "--canary",
    type=click.FloatRange(min=0),
    default=CANARY_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long the first of several bots must stay healthy before the next is restarted.",
)


def restart_options(command: Command) -> Command:
    """Add the argument BOT... and the options of `restart` to a command."""
    command = output_option(owner_option(reason_option(command)))
    command = canary_option(override_budget_option(command))
    drain = click.option("--drain", is_flag=True, help="Restart gracefully, even a healthy bot.")
    return click.argument("bots", metavar="BOT...", nargs=-1, required=True)(drain(command))


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
    """Restart each BOT through its service manager, and wait until its agent is healthy.

    The reconciler sends the request to the node of the bot's host, through the same gates as
    automatic restarts. Without --drain, a healthy bot is not restarted; with it, a bot whose error
    budget is exhausted is not. Several bots are restarted one after another. The first is the
    canary: it must stay healthy for a while, without a critical incident. The first failure ends
    the command, and the remaining bots are not restarted. Exits with 1 when a restart was refused
    or failed, or a bot is not healthy within a minute.
    """
    restart_bots(
        context,
        command_settings(),
        bots,
        action="roll_bot" if drain else "restart_bot",
        canary=timedelta(seconds=canary),
        owner=owner,
        reason=reason,
        override_budget=override_budget,
        output=output,
    )


def restart_bots(
    context: click.Context,
    settings: Settings,
    names: Sequence[str],
    *,
    action: str,
    canary: timedelta,
    owner: str,
    reason: str,
    override_budget: bool | None,
    output: str,
) -> None:
    """Restart bots one after another, and print the result of each when it is known.

    Raises:
        SetupError: one is not a bot with a service manager, or is named twice; nothing was done.
    """
    registry = load_targets(settings.targets_file)
    if len(set(names)) < len(names):
        raise SetupError(f"a bot is named twice: {' '.join(names)}")
    targets = {name: _bot(registry, name) for name in names}

    async def run() -> list[Rolled]:
        ended = []
        async with connected(settings, registry) as api, session_of(settings) as session:
            directory = Directory(session, registry, SecretFiles(settings))

            async def restart(bot: str) -> ActionOutcomeView:
                return await api.execute(
                    action, bot, {}, owner=owner, reason=reason, override_budget=override_budget
                )

            fleet = _RegisteredBots(targets, api, directory, restart)
            async for rolled in roll(names, fleet, canary=canary, within=HEALTHY_WITHIN):
                ended.append(rolled)
                if output != "json":
                    _print(rolled)
        return ended

    ended = asyncio.run(run())
    if output == "json":
        views = [_view(rolled) for rolled in ended]
        print_json(views[0] if len(views) == 1 else {"bots": views})
    if any(rolled.problem for rolled in ended):
        context.exit(ExitCode.FAILED)


def _print(rolled: Rolled) -> None:
    if rolled.problem is None:
        click.echo(f"{rolled.bot} was restarted and is healthy after {rolled.seconds} s")
    else:
        click.echo(f"{rolled.bot}: {rolled.problem}", err=True)


def _view(rolled: Rolled) -> dict[str, object]:
    return {
        "bot": rolled.bot,
        "restarted": rolled.restarted,
        "healthy": rolled.problem is None,
        "problem": rolled.problem,
        "seconds": rolled.seconds,
    }


def _bot(registry: Registry, name: str) -> Target:
    found = registry.find(name)
    if found is None or found.kind is not Kind.BOT:
        raise SetupError(f"no target {name!r} of kind bot in targets.yml")
    if found.service is None:
        fix = "add `service` to its entry, see docs/service-managers.md"
        raise SetupError(f"{name} has no service manager in targets.yml. Fix: {fix}")
    return found


class _RegisteredBots:
    """The bots of `targets.yml`: restarted by the reconciler, and queried directly."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        api: ReconcilerApi,
        directory: Directory,
        restart: Callable[[str], Awaitable[ActionOutcomeView]],
    ) -> None:
        self._targets = targets
        self._api = api
        self._directory = directory
        self._restart = restart

    async def restart(self, bot: str) -> Requested:
        try:
            done = await self._restart(bot)
        except Unreachable as error:
            return Requested(restarted=None, problem=str(error))
        except TradingOpsError as error:
            return Requested(restarted=False, problem=str(error))
        if done.attempt is None:
            refusal = done.refusal
            why = f": {refusal.note}. To open it: {refusal.opens}" if refusal else ""
            return Requested(restarted=False, problem=f"refused{why}")
        try:
            attempt = await end_of(self._api, done.attempt)
        except TradingOpsError as error:
            return Requested(restarted=None, problem=str(error))
        restarted = OUTCOMES.get(attempt.state, False)
        if attempt.state in {"completed", "started"}:
            return Requested(restarted=restarted)
        return Requested(restarted=restarted, problem=f"{attempt.state}: {attempt.detail}")

    async def state(self, bot: str, *, canary: bool) -> ObservedBot:
        try:
            health = await self._directory.bot(self._targets[bot]).health()
            incidents = await self._api.incidents(target=bot, open="true") if canary else []
        except TradingOpsError as error:
            return ObservedBot(None, str(error))
        down = [name for name, part in health.components.items() if not part.up]
        critical = [
            incident.alert for incident in incidents if incident.labels.get("severity") in CRITICAL
        ]
        problem = None
        if health.status != "ok":
            problem = f"{health.status} ({', '.join(down) or 'no component is down'})"
        elif health.recovered is False:
            problem = "it has not recovered"
        elif critical:
            problem = f"open incident of {critical[0]}"
        return ObservedBot(health.incarnation, problem)
