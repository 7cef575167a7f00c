"""`halt`, `reduce` and `resume`: a person's hand on the bots, also while the reconciler is dead."""

import asyncio
import uuid
from collections.abc import Sequence
from datetime import timedelta

import aiohttp
import click
import msgspec

from trading_ops.cli.console import output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.ordering import (
    command_settings,
    connected,
    order,
    owner_option,
    reason_option,
)
from trading_ops.clients.directory import Directory
from trading_ops.clients.reconciler_views import LaidView
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import ClientError, StackError, Unreachable
from trading_ops.settings import Settings
from trading_ops.targets import load_targets

HALT, REDUCE = "halt", "reduce"
STATES = {HALT: "halted", REDUCE: "reducing"}
WITHIN = timedelta(seconds=2)


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
    """Halt BOT, or all: it submits and changes nothing; cancels and queries pass.

    While the reconciler does not answer, the bot itself is told. Exit code 1 when a bot has not
    acknowledged it.
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
    """Let BOT only shrink its exposure.

    While the reconciler does not answer, the bot itself is told. Exit code 1 when it has not
    acknowledged it.
    """
    _hold(context, REDUCE, (bot,), owner, reason, output)


@click.command()
@click.argument("bot")
@click.option("--hold", "holds", multiple=True, metavar="ID", help="Only this hold; repeatable.")
@reason_option
@owner_option
@output_option
@click.pass_context
def resume(
    context: click.Context, bot: str, holds: tuple[str, ...], reason: str, owner: str, output: str
) -> None:
    """Lift the holds of BOT, all or some; it trades again when none is left.

    `trading-ops status` shows the holds. Exit code 1 when a hold that was named does not stand.
    """
    lifted = order(lambda api: api.lift(bot, holds=holds, owner=owner, reason=reason))
    if output == "json":
        print_json(msgspec.to_builtins(lifted))
    else:
        click.echo(f"{bot}: {lifted.detail}")
        for one in lifted.standing:
            click.echo(f"{bot} is still {one.state}: {one.reason} (by {one.owner}, hold {one.id})")
    if missing := sorted(set(holds) - set(lifted.ids)):
        click.echo(f"{bot} has no hold {', '.join(missing)}: see `trading-ops status`", err=True)
        context.exit(ExitCode.FAILED)


def _hold(
    context: click.Context,
    word: str,
    bots: Sequence[str] | None,
    owner: str,
    reason: str,
    output: str,
) -> None:
    settings = command_settings()
    registry = load_targets(settings.targets_file)
    laid = asyncio.run(_lay(settings, registry, word, bots, owner, reason))
    if bots is None:
        laid += [_out_of_reach(bot, word) for bot in registry.of_kind(Kind.BARE_BOT)]
    if output == "json":
        print_json(msgspec.to_builtins(laid))
    for one in laid if output != "json" else ():
        done = "is" if one.acknowledged else "has NOT said that it is"
        known = (
            "" if one.id in one.detail or not one.id else f" (hold {one.id})"
        )  # most answers name it
        click.echo(f"{one.target} {done} {STATES[word]}: {one.detail}{known}")
    if not all(one.acknowledged for one in laid):
        context.exit(ExitCode.FAILED)


def _out_of_reach(bot: Target, word: str) -> LaidView:
    """Return the answer for a bot that only exports metrics: nobody must think that it stopped."""
    detail = "it takes no orders, since it only exports metrics: stop it by its own means"
    return LaidView(
        target=bot.name, id="", state=STATES[word], stored=False, acknowledged=False, detail=detail
    )


async def _lay(
    settings: Settings,
    registry: Registry,
    word: str,
    bots: Sequence[str] | None,
    owner: str,
    reason: str,
) -> list[LaidView]:
    # The key is the hold's: whether one way or both reach the bot, it is one hold.
    key = str(uuid.uuid4())
    try:
        async with connected(settings, registry) as api:
            if bots is None:
                return await api.halt_all(owner=owner, reason=reason)
            return [await api.hold(bots[0], word, owner=owner, reason=reason, key=key)]
    except (Unreachable, StackError) as error:
        click.echo(f"{error}. The bot itself is told.", err=True)
    meant = [one for one in registry.bots if bots is None or one.name in bots]
    if not meant:
        raise StackError(f"targets.yml has no bot {', '.join(bots or ()) or 'at all'}")
    agents = any(one.kind is Kind.BOT for one in meant)
    tokens = {"agent": settings.secret("agent_token")} if agents else {}
    async with aiohttp.ClientSession() as session:
        directory = Directory(session, registry, tokens, settings.freqtrade_credentials)
        telling = [
            _tell(
                directory, bot, word, {"owner": owner, "reason": reason, "id": f"{key}-{bot.name}"}
            )
            for bot in meant
        ]
        return list(await asyncio.gather(*telling))


async def _tell(directory: Directory, bot: Target, word: str, hold: dict[str, str]) -> LaidView:
    """Tell a bot itself; the reconciler learns of the hold from it when it is back."""
    try:
        answer = await directory.bot(bot).command(
            word, hold, attempt_id=f"hold:{hold['id'][:100]}", fence=0, within=WITHIN
        )
        done, detail = answer.succeeded, answer.detail
    except ClientError as error:
        again = "it is stored nowhere: order it again when the bot answers"
        done, detail = False, f"{error}; {again}"
    return LaidView(
        target=bot.name,
        id=hold["id"],
        state=STATES[word],
        stored=False,
        acknowledged=done,
        detail=detail,
    )
