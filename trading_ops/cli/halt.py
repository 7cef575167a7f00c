"""`halt`, `reduce-only` and `resume`: manual holds on bots, also while the reconciler is down."""

import asyncio
import uuid
from dataclasses import dataclass

import click
import msgspec

from trading_ops.cli.console import output_option, print_json, selection_options
from trading_ops.cli.direct_holds import HALT, REDUCE, STATES, hold_directly
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.reconciler_connection import (
    ask,
    command_settings,
    connected,
    owner_option,
    reason_option,
)
from trading_ops.clients.reconciler import EVERYTHING
from trading_ops.clients.reconciler_views import PlacedView
from trading_ops.config.last_good import registry_or_last_good
from trading_ops.config.loading import load_usable_settings
from trading_ops.config.settings import Settings
from trading_ops.domain.target import NAMED_BOTS, Registry, Selection
from trading_ops.errors import ConfigError, Refused, StackError, TradingOpsError


@dataclass(frozen=True, kw_only=True)
class _Order:
    """A hold for one bot, or for the selected ones."""

    command: str
    bot: str | None
    selection: Selection = EVERYTHING
    owner: str
    reason: str

    @property
    def meant(self) -> str:
        """Name the bots in an error."""
        return f"bot {self.bot}" if self.bot else f"bot {self.selection}".rstrip()


@click.command()
@click.argument("bot", required=False)
@click.option("--all", "everyone", is_flag=True, help="All bots.")
@selection_options
@reason_option
@owner_option
@output_option
@click.pass_context
def halt(
    context: click.Context,
    bot: str | None,
    reason: str,
    owner: str,
    output: str,
    *,
    everyone: bool,
    team: str | None,
    host: str | None,
) -> None:
    """Halt BOT, or all bots: no new or amended orders; cancels and queries still work.

    With --team or --host: all bots of the team, or on the host.

    If the reconciler cannot halt a bot, the command goes to the bot directly. Exits with 1 when a
    bot has not acknowledged it.
    """
    selection = _selection(bot, everyone=everyone, team=team, host=host)
    order = _Order(command=HALT, bot=bot, selection=selection, owner=owner, reason=reason)
    _hold(context, order, output)


@click.command()
@click.argument("bot")
@reason_option
@owner_option
@output_option
@click.pass_context
def reduce(context: click.Context, bot: str, reason: str, owner: str, output: str) -> None:
    """Put BOT in reduce-only mode.

    If the reconciler cannot reach the bot, the command goes to the bot directly. Exits with 1 when
    the bot has not acknowledged it.
    """
    _hold(context, _Order(command=REDUCE, bot=bot, owner=owner, reason=reason), output)


@click.command()
@click.argument("bot", required=False)
@click.option("--all", "everyone", is_flag=True, help="All bots.")
@selection_options
@click.option("--hold", "holds", multiple=True, metavar="ID", help="Only this hold; repeatable.")
@reason_option
@owner_option
@output_option
@click.pass_context
def resume(
    context: click.Context,
    bot: str | None,
    holds: tuple[str, ...],
    reason: str,
    owner: str,
    output: str,
    *,
    everyone: bool,
    team: str | None,
    host: str | None,
) -> None:
    """Release all or some holds of BOT, or all of all bots; one without holds trades again.

    With --team or --host: all holds of all bots of the team, or on the host.

    `trading-ops status` shows the holds. Exits with 1 when a named hold does not exist, or when a
    bot still has one.
    """
    selection = _selection(bot, everyone=everyone, team=team, host=host)
    if bot is None:
        if holds:
            raise click.UsageError("--hold needs a bot")
        _resume_all(context, selection, reason, owner, output)
        return
    released = ask(lambda api: api.release(bot, holds=holds, owner=owner, reason=reason))
    if output == "json":
        print_json(msgspec.to_builtins(released))
    else:
        click.echo(f"{bot}: {released.detail}")
        for hold in released.remaining:
            click.echo(
                f"{bot} is still {hold.state}: {hold.reason} (by {hold.owner}, hold {hold.id})"
            )
    if missing := sorted(set(holds) - set(released.ids)):
        click.echo(f"{bot} has no hold {', '.join(missing)}: see `trading-ops status`", err=True)
        context.exit(ExitCode.FAILED)


def _selection(bot: str | None, *, everyone: bool, team: str | None, host: str | None) -> Selection:
    """Return the selection of bots if none is named."""
    selection = Selection(team=team, host=host)
    if [bot is not None, everyone, bool(selection)].count(True) != 1:
        raise click.UsageError("name a bot, or give either --all or --team and --host")
    return selection


def _resume_all(
    context: click.Context, selection: Selection, reason: str, owner: str, output: str
) -> None:
    released = ask(lambda api: api.release_all(owner=owner, reason=reason, selection=selection))
    if output == "json":
        print_json(msgspec.to_builtins(released))
    for bot in released if output != "json" else ():
        click.echo(f"{bot.target}: {bot.detail}")
    if not released and output != "json":
        click.echo("no bot has a hold")
    if any(bot.remaining for bot in released):
        context.exit(ExitCode.FAILED)


def _hold(context: click.Context, order: _Order, output: str) -> None:
    try:
        settings = command_settings()
    except ConfigError as error:
        click.echo(f"{error}. Using the valid settings.", err=True)
        settings = command_settings(load_usable_settings)
    registry, problem = registry_or_last_good(settings)
    if problem is not None:
        click.echo(f"{problem}. Using the last valid targets.yml.", err=True)
    placed = asyncio.run(_place(settings, registry, order))
    if output == "json":
        print_json(msgspec.to_builtins(placed))
    for hold in placed if output != "json" else ():
        done = "is" if hold.acknowledged else "has NOT acknowledged that it is"
        known = (
            "" if hold.id in hold.detail or not hold.id else f" (hold {hold.id})"
        )  # most answers name it
        click.echo(f"{hold.target} {done} {STATES[order.command]}: {hold.detail}{known}")
    if not all(hold.acknowledged for hold in placed):
        context.exit(ExitCode.FAILED)


async def _place(settings: Settings, registry: Registry, order: _Order) -> list[PlacedView]:
    """Place the hold through the reconciler, then directly on each bot that did not acknowledge.

    Raises:
        Refused: the reconciler refused a name that targets.yml does not have either.
        StackError: targets.yml has no such bot.
    """
    # The key is the hold's id: if both ways reach the bot, it is still one hold.
    key, bot = str(uuid.uuid4()), order.bot
    person = {"owner": order.owner, "reason": order.reason}
    placed: dict[str, PlacedView] = {}
    refused: Exception | None = None
    try:
        async with connected(settings, registry) as api:
            if bot is None:
                answers = await api.halt_all(**person, selection=order.selection)
            else:
                answers = [await api.hold(bot, order.command, **person, key=key)]
            placed = {answer.target: answer for answer in answers}
    except (TradingOpsError, OSError) as error:
        refused = error
    meant = [
        target
        for target in registry
        if target.kind in NAMED_BOTS and order.selection.has(target) and bot in {None, target.name}
    ]
    if not meant and not placed:
        if isinstance(refused, Refused):
            raise refused
        raise StackError(f"targets.yml has no {order.meant}")
    if refused is not None:
        click.echo(f"{refused}. Sending the command to the bot directly.", err=True)
    left = [bot for bot in meant if bot.name not in placed or not placed[bot.name].acknowledged]
    if left:
        hold = {**person, "id": key}
        placed |= await hold_directly(settings, registry, left, order.command, hold, placed)
    return list(placed.values())
