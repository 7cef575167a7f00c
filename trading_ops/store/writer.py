"""The single thread that owns the writing connection.

It takes what waits, carries it out in one transaction, commits once, and only then answers: many
requests share one fsync, and nothing is answered that is not on disk. If a batch fails, it is
rolled back and replayed one request at a time, so that a bad one harms only itself. Control
requests have a lane of their own, ahead of the bounded intake.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from trading_ops import logs
from trading_ops.errors import StoreBusy, StoreError, TradingOpsError

log = logs.get(__name__)

T = TypeVar("T")

INTAKE_LIMIT = 10_000
BATCH_LIMIT = 500


@dataclass(frozen=True)
class _Request:
    work: Callable[[Connection], Any]
    done: Future[Any] = field(default_factory=Future)


class Writer:
    """Serialises all writes; create one per database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._control: deque[_Request] = deque()
        self._intake: queue.Queue[_Request] = queue.Queue(INTAKE_LIMIT)
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Finish everything that was accepted, then end the thread."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._engine.dispose()

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Carry out a control request; the answer comes after the commit.

        Raises:
            StoreError: it could not be stored; nothing of it was.
        """
        return await asyncio.wrap_future(self.submit(work))

    async def take_in(self, work: Callable[[Connection], T]) -> T:
        """Carry out an intake request, behind all control requests.

        Raises:
            StoreBusy: too many wait already.
            StoreError: it could not be stored; nothing of it was.
        """
        request = _Request(work)
        try:
            self._intake.put_nowait(request)
        except queue.Full as error:
            raise StoreBusy("the intake is full") from error
        self._wake.set()
        return await asyncio.wrap_future(request.done)

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """Queue a control request from any thread."""
        request = _Request(work)
        self._control.append(request)
        self._wake.set()
        return request.done

    @property
    def waiting(self) -> int:
        """Requests not yet carried out."""
        return len(self._control) + self._intake.qsize()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self.waiting:
                if batch := self._next_batch():
                    self._carry_out(batch)
            if self._stopping:
                return

    def _next_batch(self) -> list[_Request]:
        batch: list[_Request] = []
        while self._control and len(batch) < BATCH_LIMIT:
            batch.append(self._control.popleft())
        while len(batch) < BATCH_LIMIT:
            try:
                batch.append(self._intake.get_nowait())
            except queue.Empty:
                break
        return [request for request in batch if request.done.set_running_or_notify_cancel()]

    def _carry_out(self, batch: list[_Request]) -> None:
        try:
            answers = self._commit(batch)
        except Exception as error:  # noqa: BLE001 - whatever it was, the sender must hear of it
            if len(batch) > 1:
                for request in batch:
                    self._carry_out([request])
                return
            batch[0].done.set_exception(_explained(error))
            return
        for request, answer in zip(batch, answers, strict=True):
            request.done.set_result(answer)

    def _commit(self, batch: list[_Request]) -> list[Any]:
        with self._engine.begin() as connection:
            return [request.work(connection) for request in batch]


def _explained(error: Exception) -> Exception:
    if isinstance(error, TradingOpsError):
        return error
    if isinstance(error, SQLAlchemyError):
        log.error("write_failed", error=str(error))
        return StoreError(f"the database could not store it: {error.__class__.__name__}")
    log.error("write_failed", error=repr(error))
    return error
