"""Commands that renew the bot's connection to its records."""

from typing import Protocol

from trading_ops.agent import Command, CommandFailed, Params
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.records.store import Store
from trading_ops.errors import StoreError

DEADLINE_SECONDS = 15.0
"""A lock is waited for up to 5 s, by what runs and by the first statement of the new connection."""


class Parts(Protocol):
    """What the commands are for."""

    store: Store


def records_commands(parts: Parts) -> dict[str, Command]:
    """Return the commands by name."""

    async def recycle_pool(_params: Params) -> str:
        await _renew(parts.store, at_once=False)
        return "the records have a new connection; what ran was finished first"

    async def reconnect_database(_params: Params) -> str:
        await _renew(parts.store, at_once=True)
        return "the records have a new connection, and it answers"

    return {
        "recycle_pool": Command(run=recycle_pool, deadline_seconds=DEADLINE_SECONDS),
        "reconnect_database": Command(run=reconnect_database, deadline_seconds=DEADLINE_SECONDS),
    }


async def _renew(store: Store, *, at_once: bool) -> None:
    try:
        await store.renew(at_once=at_once)
    except (StoreError, Unavailable) as error:
        raise CommandFailed(f"there is no new connection to the records: {error}") from error
