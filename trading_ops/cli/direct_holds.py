"""Places holds directly on bots; the reconciler reads them from the bots later."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

from trading_ops.clients.directory import Directory
from trading_ops.clients.http import session_of
from trading_ops.clients.reconciler_views import PlacedView
from trading_ops.clients.secrets import SecretFiles
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import ClientError

HALT, REDUCE = "halt", "reduce"
STATES = {HALT: "halted", REDUCE: "reducing"}
WITHIN = timedelta(seconds=2)


async def hold_directly(
    settings: Settings,
    registry: Registry,
    bots: Sequence[Target],
    command: str,
    hold: Mapping[str, str],
    placed: Mapping[str, PlacedView],
) -> dict[str, PlacedView]:
    """Send the hold to each of these bots; return the result by bot name.

    Args:
        settings: for the tokens.
        registry: for the bots' addresses.
        bots: names of the bots.
        command: `halt` or `reduce`.
        hold: its owner, reason and id.
        placed: the reconciler's answer, by bot name.
    """
    async with session_of(settings) as session:
        directory = Directory(session, registry, SecretFiles(settings))

        async def hold_bot(bot: Target) -> PlacedView:
            earlier = placed.get(bot.name)
            key = earlier.id if earlier else f"{hold['id']}-{bot.name}"
            view = PlacedView(
                target=bot.name,
                id=key,
                state=STATES[command],
                stored=bool(earlier and earlier.stored),
                acknowledged=False,
                detail="",
            )
            if bot.kind is Kind.BARE_BOT:
                view.id = ""
                view.detail = "it only exports metrics and takes no commands: stop it directly"
                return view
            try:
                answer = await directory.bot(bot).command(
                    command,
                    {**hold, "id": key},
                    attempt_id=f"hold:{key[:100]}",
                    fence=0,
                    within=WITHIN,
                )
            except ClientError as error:
                not_stored = "the hold is NOT stored: repeat the command when the bot answers"
                view.detail = (
                    f"{earlier.detail if earlier and earlier.stored else not_stored}; {error}"
                )
            else:
                view.acknowledged, view.detail = answer.succeeded, answer.detail
            return view

        views = await asyncio.gather(*(hold_bot(bot) for bot in bots))
    return {view.target: view for view in views}
