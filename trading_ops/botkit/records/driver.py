"""Runs a database driver in its own thread, so that the event loop never waits for the disk."""

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
"""The name of the queue of transactions, and of the one connection as a pool, in metrics."""


INTERRUPT_SECONDS = 0.2
"""Interval at which a running statement is interrupted again."""


ANSWER_SECONDS = 8.0
"""How long to wait for a transaction, because a frozen server never ends a statement. Longer than
the database's own timeouts, whose errors are more specific."""


class Driver(Protocol):
    """One connection to one database; used by one thread only."""

    connections: int
    """How many connections were opened so far."""

    @property
    def name(self) -> str:
        """The name for error messages: a path or a schema, without a password."""
        ...

    def open(self) -> None:
        """Connect, and create or migrate the tables.

        Raises:
            StoreError: the database cannot be opened.
        """
        ...

    def transact(self, work: Callable[[Session], Result]) -> Result:
        """Run `work` in a transaction and commit it.

        Raises:
            StoreError: it is unknown whether it was committed.
        """
        ...

    def interrupt(self) -> None:
        """Make the running statement fail, if possible. Called by another thread; never raises."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class ThreadedDatabase:
    """A `Database`: one driver in a thread, behind a queue.

    Example:
        database = ThreadedDatabase(SqliteDriver(Path("records.db")), metrics)
        await database.transact(lambda session: session.execute("DELETE FROM facts"))
        await database.close()
    """

    def __init__(
        self,
        driver: Driver,
        metrics: BotMetrics | None = None,
        *,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """Start the thread and open the database; blocks until it is open.

        Args:
            driver: of the database.
            metrics: of the bot; by default nothing is exported.
            answer_seconds: how long to wait for a transaction.

        Raises:
            StoreError: the database cannot be opened.
        """
        self._driver = driver
        self._metrics = metrics or BotMetrics(version="", mode="")
        self._answer_seconds = answer_seconds
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._priority: deque[Callable[[], None]] = deque()
        self._closing = False
        self._opened = False
        self._busy = False
        self._counted = 0
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

    async def transact(
        self, work: Callable[[Session], Result], *, statement: str = "transaction"
    ) -> Result:
        """Run `work` in a transaction, which is committed when this returns.

        Cancelling the caller does not undo the transaction. Metrics time it with its commit.

        Args:
            work: called with the session, in the database's thread.
            statement: the transaction's name in metrics.

        Raises:
            StoreError: the database is closed, or it is unknown whether the transaction was
                committed; `work` should be idempotent.
        """
        if self._closing:
            raise StoreError(f"{self._driver.name} is closed")
        done: Future[Result] = Future()
        requested = clock.monotonic()

        def run() -> None:
            self._metrics.queue_wait(QUEUE, clock.monotonic() - requested)
            try:
                with self._metrics.query(statement):
                    self._open()
                    result = self._driver.transact(work)
            except BaseException as error:  # noqa: BLE001 - raised in the caller
                self._set_idle()
                done.set_exception(error)
            else:
                self._set_idle()
                done.set_result(result)

        self._work.put(run)
        waiting = asyncio.wrap_future(done)
        waiting.add_done_callback(_retrieve_error)
        answered, _ = await asyncio.wait({waiting}, timeout=self._answer_seconds)
        if not answered:
            self._driver.interrupt()
            raise StoreError(f"{self._driver.name}: no answer within {self._answer_seconds:g} s")
        return waiting.result()

    async def reconnect(self, *, interrupt: bool) -> None:
        """Replace the connection, before the transactions that are queued.

        Args:
            interrupt: whether to make the running transaction fail; otherwise it finishes first.

        Raises:
            StoreError: the database is closed, or the new connection failed; the next transaction
                tries again.
        """
        if self._closing:
            raise StoreError(f"{self._driver.name} is closed")
        done: Future[None] = Future()
        started, lock = threading.Event(), threading.Lock()

        def run() -> None:
            with lock:  # after this, an interruption would hit the new connection
                started.set()
            try:
                self._opened = False
                self._driver.close()
                self._open()
            except BaseException as error:  # noqa: BLE001 - raised in the caller
                self._set_idle()
                done.set_exception(error)
            else:
                self._set_idle()
                done.set_result(None)

        if interrupt and self._busy:
            self._metrics.pool_invalidated(QUEUE)
        self._priority.append(run)
        self._work.put(_nothing)  # wakes the thread
        reconnected = asyncio.wrap_future(done)
        while interrupt and not started.is_set():
            with lock:
                if not started.is_set():
                    self._driver.interrupt()
            # An interruption between two statements has no effect: repeat it.
            await asyncio.wait({reconnected}, timeout=INTERRUPT_SECONDS)
        await asyncio.shield(reconnected)

    async def close(self) -> None:
        """Finish the queued transactions, then close the connection and end the thread."""
        self._closing = True
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self, opened: "Future[None]") -> None:
        try:
            self._open()
        except BaseException as error:  # noqa: BLE001 - raised in the constructor
            opened.set_exception(error)
            return
        opened.set_result(None)
        while (run := self._work.get()) is not None:
            self._busy = True
            while self._priority:
                self._priority.popleft()()
            run()
            self._set_idle()
        self._driver.close()
        self._opened = False

    def _open(self) -> None:
        """Connect if it is not connected; an earlier attempt may have failed."""
        if not self._opened:
            self._driver.open()
            self._opened = True

    def _set_idle(self) -> None:
        """Mark the connection as idle; called before the caller gets its answer."""
        self._busy = False
        self._count()

    def _count(self) -> None:
        opened = self._driver.connections
        self._metrics.pool_connected(QUEUE, opened - self._counted)
        self._counted = opened


def _nothing() -> None:
    """Do nothing, in the thread."""


def _retrieve_error(answer: "asyncio.Future[Result]") -> None:
    """Retrieve the error of an abandoned transaction, so that asyncio does not log it."""
    if not answer.cancelled():
        answer.exception()
