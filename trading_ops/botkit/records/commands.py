"""Commands that replace the bot's connection to its records."""

from typing import Protocol

from trading_ops.agent import Command, CommandFailed, Params
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.records.store import Store
from trading_ops.errors import StoreError

DEADLINE_SECONDS = 15.0
"""Deadline of a command: the running transaction and the first statement of the new connection may
each wait up to 5 s for a lock."""


class HasStore(Protocol):
    """The bot, as far as `records_commands` needs it."""

    store: Store


def records_commands(bot: HasStore) -> dict[str, Command]:
    """Return the commands `recycle_pool` (graceful) and `reconnect_database` (immediate)."""

    async def recycle_pool(_params: Params) -> str:
        await _reconnect(bot.store, interrupt=False)
        return "the records have a new connection; the running transaction was finished first"

    async def reconnect_database(_params: Params) -> str:
        await _reconnect(bot.store, interrupt=True)
        return "the records have a new connection, and it answers"

    return {
        "recycle_pool": Command(run=recycle_pool, deadline_seconds=DEADLINE_SECONDS),
        "reconnect_database": Command(run=reconnect_database, deadline_seconds=DEADLINE_SECONDS),
    }


async def _reconnect(store: Store, *, interrupt: bool) -> None:
    try:
        await store.reconnect(interrupt=interrupt)
    except (StoreError, Unavailable) as error:
        raise CommandFailed(f"cannot open a new connection to the records: {error}") from error
