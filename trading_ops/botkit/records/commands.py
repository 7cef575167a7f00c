"""Commands that replace the bot's connection to its records, and take care of them."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Protocol

from trading_ops import clock
from trading_ops.agent import Command, CommandFailed, Params
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.records.sql import Session
from trading_ops.botkit.records.sqlite import read_only
from trading_ops.botkit.records.store import Store
from trading_ops.errors import StoreError
from trading_ops.sqlite_care import Need, Query, batches, carry_out, find

CARE_SECONDS = 30.0
DEADLINE_SECONDS = 15.0
"""Deadline of a reconnection: the running transaction and the first statement of the new
connection may each wait up to 5 s for a lock."""


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


def sqlite_commands(bot: HasStore, path: Path) -> dict[str, Command]:
    """Return the command `optimize_records`, for records in SQLite.

    It renews statistics and returns free pages to the file system, in short transactions between
    those of the bot. What is needed is found over a read-only connection in a thread of its own:
    it counts the rows of each table, and orders must not wait for that.

    Args:
        bot: whose records they are.
        path: of the file of the records.
    """

    async def optimize_records(_params: Params) -> str:
        try:
            needs = await asyncio.to_thread(read_only, path, lambda session: find(_query(session)))
            await _carry_out(bot.store, needs)
        except (StoreError, Unavailable) as error:
            raise CommandFailed(f"the records were not optimized: {error}") from error
        return "; ".join(f"{need.what}: {need.reason}" for need in needs) or "nothing to do"

    return {
        "optimize_records": Command(
            run=optimize_records,
            deadline_seconds=CARE_SECONDS + DEADLINE_SECONDS,
        )
    }


async def _carry_out(store: Store, needs: list[Need]) -> None:
    """Do what is needed; what takes too long continues with the next command."""
    limit = clock.monotonic() + CARE_SECONDS
    for need in needs:
        for times in batches(need):
            if clock.monotonic() > limit:
                return
            await store.transact(partial(_one_batch, need=need, times=times))


def _one_batch(session: Session, *, need: Need, times: int) -> None:
    carry_out(_query(session), need, times)


def _query(session: Session) -> Query:
    return lambda statement: session.execute(statement).all()


async def _reconnect(store: Store, *, interrupt: bool) -> None:
    try:
        await store.reconnect(interrupt=interrupt)
    except (StoreError, Unavailable) as error:
        raise CommandFailed(f"cannot open a new connection to the records: {error}") from error
