"""Runs one database's driver in a thread of its own, so that the loop waits for no disk."""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from trading_ops import clock
from trading_ops.botkit.records.sql import Session
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics

Result = TypeVar("Result")

QUEUE = "records"
"""What metrics call the work that waits for the thread, and its connection.

That has no size, for it is no pool: what waits for it shows as the queue.
"""


INTERRUPT_SECONDS = 0.2
"""Until what goes on running is interrupted once more."""


ANSWER_SECONDS = 8.0
"""For which anybody waits for a database: a frozen server ends no statement by itself. Longer than
what a database's own limits take, which know better what was wrong."""


class Driver(Protocol):
    """One connection to one database; used by one thread only."""

    connections: int
    """How many were made so far."""

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

    def interrupt(self) -> None:
        """Have what runs now fail if that can be done; called by another thread, never raises."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class Threaded:
    """A `Database`: one driver behind a queue."""

    def __init__(
        self,
        driver: Driver,
        metrics: BotMetrics | None = None,
        *,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """Connect.

        Args:
            driver: of the database.
            metrics: of the bot; by default of nobody.
            answer_seconds: for which an answer is waited for.

        Raises:
            StoreError: it cannot be opened.
        """
        self._driver = driver
        self._metrics = metrics or BotMetrics(version="", mode="")
        self._answer_seconds = answer_seconds
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._ahead: deque[Callable[[], None]] = deque()
        self._closing = False
        self._opened = False
        self._busy = False
        self._made = 0
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(opened,), name="records", daemon=True
        )
        self._thread.start()
        opened.result()
        self._metrics.watch_queue(QUEUE, self._work.qsize)
        states = {"in_use": lambda: self._busy, "idle": lambda: self._opened and not self._busy}
        self._metrics.watch_pool(QUEUE, states)
        self._count()

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
                    self._open()
                    result = self._driver.transact(work)
            except BaseException as error:  # noqa: BLE001 - belongs to whoever gave the work
                self._rest()
                done.set_exception(error)
            else:
                self._rest()
                done.set_result(result)

        self._work.put(run)
        # Whoever stops waiting does not undo it: what was given is finished.
        waiting = asyncio.wrap_future(done)
        waiting.add_done_callback(_ignored)
        answered, _ = await asyncio.wait({waiting}, timeout=self._answer_seconds)
        if not answered:
            self._driver.interrupt()
            raise StoreError(f"{self._driver.name}: no answer within {self._answer_seconds:g} s")
        return waiting.result()

    async def renew(self, *, at_once: bool) -> None:
        """Replace the connection, ahead of what waits.

        Args:
            at_once: whether what runs is made to fail; else it is finished first.

        Raises:
            StoreError: there is no new one; the next piece of work tries again.
        """
        if self._closing:
            raise StoreError(f"{self._driver.name} is closed")
        done: Future[None] = Future()
        begun, turn = threading.Event(), threading.Lock()

        def run() -> None:
            with turn:  # from here on an interruption would hit the new connection
                begun.set()
            try:
                self._opened = False
                self._driver.close()
                self._open()
            except BaseException as error:  # noqa: BLE001 - belongs to whoever asked
                self._rest()
                done.set_exception(error)
            else:
                self._rest()
                done.set_result(None)

        if at_once and self._busy:
            self._metrics.pool_invalidated(QUEUE)
        self._ahead.append(run)
        self._work.put(_nothing)  # so that the thread looks
        renewed = asyncio.wrap_future(done)
        while at_once and not begun.is_set():
            with turn:
                if not begun.is_set():
                    self._driver.interrupt()
            # What runs may have been between two statements.
            await asyncio.wait({renewed}, timeout=INTERRUPT_SECONDS)
        await asyncio.shield(renewed)

    async def close(self) -> None:
        """Finish what was given, then close."""
        self._closing = True
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self, opened: "Future[None]") -> None:
        try:
            self._open()
        except BaseException as error:  # noqa: BLE001 - whoever opens is told
            opened.set_exception(error)
            return
        opened.set_result(None)
        while (run := self._work.get()) is not None:
            self._busy = True
            while self._ahead:
                self._ahead.popleft()()
            run()
            self._rest()
        self._driver.close()
        self._opened = False

    def _open(self) -> None:
        """Connect if it is not connected: an earlier try may have failed."""
        if not self._opened:
            self._driver.open()
            self._opened = True

    def _rest(self) -> None:
        """Show that nothing runs, before anybody is answered who could look."""
        self._busy = False
        self._count()

    def _count(self) -> None:
        made = self._driver.connections
        self._metrics.pool_connected(QUEUE, made - self._made)
        self._made = made


def _nothing() -> None:
    """Do nothing, in the thread."""


def _ignored(answer: "asyncio.Future[Result]") -> None:
    """Take what nobody waits for any more, so that its error does not look like one of the bot."""
    if not answer.cancelled():
        answer.exception()
