"""`halt`, `reduce-only` and `resume`: manual holds on bots, also while the reconciler is down."""

import asyncio
import uuid
from collections.abc import Sequence

import click
import msgspec

from trading_ops.cli.console import output_option, print_json
from trading_ops.cli.direct_holds import HALT, REDUCE, STATES, hold_directly
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.reconciler_connection import (
    ask,
    command_settings,
    connected,
    owner_option,
    reason_option,
)
from trading_ops.clients.reconciler_views import PlacedView
from trading_ops.config.last_good import registry_or_last_good
from trading_ops.config.settings import Settings, load_usable_settings
from trading_ops.domain.target import NAMED_BOTS, Registry
from trading_ops.errors import ConfigError, Refused, StackError, TradingOpsError


@click.command()
@click.argument("bot", required=False)
@click.option("--all", "everyone", is_flag=True, help="All bots.")
@reason_option
@owner_option
@output_option
@click.pass_context
def halt(
    context: click.Context, bot: str | None, reason: str, owner: str, output: str, *, everyone: bool
) -> None:
    """Halt BOT, or all bots: no new or amended orders; cancels and queries still work.

    If the reconciler cannot halt a bot, the command goes to the bot directly. Exits with 1 when a
    bot has not acknowledged it.
    """
    if (bot is None) is not everyone:
        raise click.UsageError("name a bot, or give --all")
    _hold(context, HALT, None if bot is None else (bot,), owner, reason, output)


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
    _hold(context, REDUCE, (bot,), owner, reason, output)


@click.command()
@click.argument("bot", required=False)
@click.option("--all", "everyone", is_flag=True, help="All bots.")
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
) -> None:
    """Release all or some holds of BOT, or all of all bots; one without holds trades again.

    `trading-ops status` shows the holds. Exits with 1 when a named hold does not exist, or when a
    bot still has one.
    """
    if (bot is None) is not everyone or (holds and everyone):
        raise click.UsageError("name a bot, or give --all, which takes no --hold")
    if bot is None:
        _resume_all(context, reason, owner, output)
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


def _resume_all(context: click.Context, reason: str, owner: str, output: str) -> None:
    released = ask(lambda api: api.release_all(owner=owner, reason=reason))
    if output == "json":
        print_json(msgspec.to_builtins(released))
    for bot in released if output != "json" else ():
        click.echo(f"{bot.target}: {bot.detail}")
    if not released and output != "json":
        click.echo("no bot has a hold")
    if any(bot.remaining for bot in released):
        context.exit(ExitCode.FAILED)


def _hold(
    context: click.Context,
    command: str,
    bots: Sequence[str] | None,
    owner: str,
    reason: str,
    output: str,
) -> None:
    try:
        settings = command_settings()
    except ConfigError as error:
        click.echo(f"{error}. Using the valid settings.", err=True)
        settings = command_settings(load_usable_settings)
    registry, problem = registry_or_last_good(settings)
    if problem is not None:
        click.echo(f"{problem}. Using the last valid targets.yml.", err=True)
    placed = asyncio.run(_place(settings, registry, command, bots, owner, reason))
    if output == "json":
        print_json(msgspec.to_builtins(placed))
    for hold in placed if output != "json" else ():
        done = "is" if hold.acknowledged else "has NOT acknowledged that it is"
        known = (
            "" if hold.id in hold.detail or not hold.id else f" (hold {hold.id})"
        )  # most answers name it
        click.echo(f"{hold.target} {done} {STATES[command]}: {hold.detail}{known}")
    if not all(hold.acknowledged for hold in placed):
        context.exit(ExitCode.FAILED)


async def _place(
    settings: Settings,
    registry: Registry,
    command: str,
    bots: Sequence[str] | None,
    owner: str,
    reason: str,
) -> list[PlacedView]:
    """Place the hold through the reconciler, then directly on each bot that did not acknowledge.

    Raises:
        Refused: the reconciler refused a name that targets.yml does not have either.
        StackError: targets.yml has no such bot.
    """
    # The key is the hold's id: if both ways reach the bot, it is still one hold.
    key = str(uuid.uuid4())
    placed: dict[str, PlacedView] = {}
    refused: Exception | None = None
    try:
        async with connected(settings, registry) as api:
            if bots is None:
                answers = await api.halt_all(owner=owner, reason=reason)
            else:
                answers = [await api.hold(bots[0], command, owner=owner, reason=reason, key=key)]
            placed = {answer.target: answer for answer in answers}
    except (TradingOpsError, OSError) as error:
        refused = error
    meant = [
        target
        for target in registry
        if target.kind in NAMED_BOTS and (bots is None or target.name in bots)
    ]
    if not meant and not placed:
        if isinstance(refused, Refused):
            raise refused
        missing = (
            f"targets.yml has no bot {', '.join(bots)}" if bots else "targets.yml lists no bots"
        )
        raise StackError(missing)
    if refused is not None:
        click.echo(f"{refused}. Sending the command to the bot directly.", err=True)
    left = [bot for bot in meant if bot.name not in placed or not placed[bot.name].acknowledged]
    if left:
        hold = {"owner": owner, "reason": reason, "id": key}
        placed |= await hold_directly(settings, registry, left, command, hold, placed)
    return list(placed.values())
