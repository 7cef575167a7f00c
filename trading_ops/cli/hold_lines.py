"""Tells bots a hold without the reconciler, which learns of it from them when it is back."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

from trading_ops.clients.connection import session_of
from trading_ops.clients.directory import Directory
from trading_ops.clients.reconciler_views import LaidView
from trading_ops.clients.secrets import SecretFiles
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import ClientError

HALT, REDUCE = "halt", "reduce"
STATES = {HALT: "halted", REDUCE: "reducing"}
WITHIN = timedelta(seconds=2)


async def tell_directly(
    settings: Settings,
    registry: Registry,
    bots: Sequence[Target],
    word: str,
    hold: Mapping[str, str],
    laid: Mapping[str, LaidView],
) -> dict[str, LaidView]:
    """Tell each of these bots, and return by its name what became of the hold.

    Args:
        settings: where the tokens are.
        registry: where the bots are.
        bots: whom to tell.
        word: `halt` or `reduce`.
        hold: its owner, reason and id.
        laid: what the reconciler answered, by the name of the bot.
    """
    async with session_of(settings) as session:
        directory = Directory(session, registry, SecretFiles(settings))

        async def tell(bot: Target) -> LaidView:
            earlier = laid.get(bot.name)
            key = earlier.id if earlier else f"{hold['id']}-{bot.name}"
            view = LaidView(
                target=bot.name,
                id=key,
                state=STATES[word],
                stored=bool(earlier and earlier.stored),
                acknowledged=False,
                detail="",
            )
            if bot.kind is Kind.BARE_BOT:
                view.id = ""
                view.detail = (
                    "it takes no orders, since it only exports metrics: stop it by its own means"
                )
                return view
            try:
                answer = await directory.bot(bot).command(
                    word,
                    {**hold, "id": key},
                    attempt_id=f"hold:{key[:100]}",
                    fence=0,
                    within=WITHIN,
                )
            except ClientError as error:
                again = "it is stored nowhere: order it again when the bot answers"
                view.detail = f"{earlier.detail if earlier and earlier.stored else again}; {error}"
            else:
                view.acknowledged, view.detail = answer.succeeded, answer.detail
            return view

        views = await asyncio.gather(*(tell(bot) for bot in bots))
    return {view.target: view for view in views}
