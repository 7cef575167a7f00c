"""A process that is killed when a fill is committed, before it is in the journal of events.

`python -m tests.service.botkit.killed_book FOLDER`
"""

import asyncio
import os
import signal
import sys
from functools import partial
from pathlib import Path

from tests.service.botkit.orders import half_of, order_of, signal_of
from trading_ops.agent import EventJournal
from trading_ops.botkit import failpoints
from trading_ops.botkit.failpoints import BotFailpoint
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.events import journal_event
from trading_ops.botkit.records.driver import ThreadedDatabase
from trading_ops.botkit.records.sqlite import SqliteDriver
from trading_ops.botkit.records.store import Store
from trading_ops.instrument import BotMetrics


def kill(point: BotFailpoint) -> None:
    if point is BotFailpoint.CHANGE_STORED:
        os.kill(os.getpid(), signal.SIGKILL)


async def main(folder: Path) -> None:
    metrics = BotMetrics(version="1", mode="paper")
    store = Store(metrics, lambda: ThreadedDatabase(SqliteDriver(folder / "bot.db")))
    running = asyncio.create_task(store.run())
    journal = EventJournal(path=folder / "events.sqlite")
    journal.open()
    book = Book("alpha", metrics, store)
    book.on_event = partial(journal_event, journal)
    order = order_of("o-1")
    await book.add(order, signal_of(order))
    assert await asyncio.to_thread(journal.flush)
    failpoints.watch(kill)
    await book.update(order, half_of(order))
    running.cancel()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
