"""Runs one database's driver in a thread of its own, so that the loop waits for no disk."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from trading_ops import clock
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics
from trading_ops.paper.bot.records.sql import Session

Result = TypeVar("Result")

QUEUE = "records"
"""What metrics call the work that waits for the thread."""


class Driver(Protocol):
    """One connection to one database; used by one thread only."""

    @property
    def name(self) -> str:
        """What errors call it: a path or an address, without a password."""
        ...

    def open(self) -> None:
        """Connect, and bring the tables up to date.

        Raises:
            StoreError: it cannot be.
        """
        ...

    def transact(self, work: Callable[[Session], Result]) -> Result:
        """Run `work` in a transaction and commit it.

        Raises:
            StoreError: it is not known to be durable.
        """
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class Threaded:
    """A `Database`: one driver behind a queue."""

    def __init__(self, driver: Driver, metrics: BotMetrics | None = None) -> None:
        """Connect.

        Args:
            driver: of the database.
            metrics: of the bot; by default of nobody.

        Raises:
            StoreError: it cannot be opened.
        """
        self._driver = driver
        self._metrics = metrics or BotMetrics(version="", mode="")
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._closing = False
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(opened,), name="records", daemon=True
        )
        self._thread.start()
        opened.result()
        self._metrics.watch_queue(QUEUE, self._work.qsize)

    async def do(
        self, work: Callable[[Session], Result], *, statement: str = "transaction"
    ) -> Result:
        """Run `work` in a transaction; when this returns, it is committed.

        What is timed under the statement's name is the whole transaction, the commit included.

        Raises:
            StoreError: it is not known to be; the same change may be made again.
        """
        if self._closing:
            raise StoreError(f"{self._driver.name} is closed")
        done: Future[Result] = Future()
        asked = clock.monotonic()

        def run() -> None:
            self._metrics.queue_wait(QUEUE, clock.monotonic() - asked)
            try:
                with self._metrics.query(statement):
                    result = self._driver.transact(work)
            except BaseException as error:  # noqa: BLE001 - belongs to whoever gave the work
                done.set_exception(error)
            else:
                done.set_result(result)

        self._work.put(run)
        # Whoever stops waiting does not undo it: what was given is finished.
        return await asyncio.shield(asyncio.wrap_future(done))

    async def close(self) -> None:
        """Finish what was given, then close."""
        self._closing = True
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self, opened: "Future[None]") -> None:
        try:
            self._driver.open()
        except BaseException as error:  # noqa: BLE001 - whoever opens is told
            opened.set_exception(error)
            return
        opened.set_result(None)
        while (run := self._work.get()) is not None:
            run()
        self._driver.close()
