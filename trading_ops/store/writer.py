"""The single thread that owns the writing connection.

It runs all waiting requests in one transaction, commits once, and only then answers: many requests
share one fsync, and a request is answered only when it is on disk. If a statement fails, the batch
is rolled back and replayed one request at a time, so that a bad request fails alone. If the
database is unavailable, or did not answer COMMIT, nothing is replayed: each caller gets an error,
and after a COMMIT without an answer the error says that the outcome is unknown. Control requests
have their own queue, ahead of the bounded intake.

One transaction: its events are chained and written just before it commits. The head of the chain is
locked last and for the shortest time, so that concurrent replicas wait only briefly for each other
and never lock in different orders. Failures before and after COMMIT are different errors: before
COMMIT was sent, nothing is stored; after that, without an answer, the outcome is unknown.
"""

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from trading_ops import clock, logs
from trading_ops.errors import (
    CommitUnknown,
    StoreBusy,
    StoreError,
    StoreUnavailable,
    TradingOpsError,
)
from trading_ops.store import audit_chain, events, failpoints
from trading_ops.store.engine import is_replaced
from trading_ops.store.failpoints import Failpoint

# PostgreSQL's codes. Two transactions conflicted, and this one was rolled back.
_COLLISIONS = frozenset({"40001", "40P01", "23505"})
# A statement ran, or waited for a lock, longer than allowed.
_LIMITS = frozenset({"57014", "55P03"})
# The connection broke, the server is shutting down, or it reports that it does not know.
_UNSURE = ("08", "40003", "57P")


@contextmanager
def transaction(engine: Engine, audit_key: bytes = b"") -> Iterator[Connection]:
    """Run a transaction; at the end write the added events, then commit.

    Args:
        engine: of the writer.
        audit_key: keys the chain's MACs; empty, they only detect accidents.

    Raises:
        StoreUnavailable: there is no database, it is locked, its file was replaced, or the
            connection failed before COMMIT.
        CommitUnknown: COMMIT was sent, and its outcome is unknown.
    """
    with _connect(engine) as connection:
        events.take_pending(connection)  # left over from a failed transaction
        with _begin(connection) as open_transaction:
            try:
                yield connection
                audit_chain.write(connection, audit_key)
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise StoreUnavailable(_sentence("the database went away", error)) from error
                raise
            if is_replaced(connection):
                raise StoreUnavailable(
                    "the database file was deleted or replaced while it was open, so nothing is "
                    "stored: restore it and restart the reconciler"
                )
            _commit(open_transaction)


def is_collision(error: Exception) -> bool:
    """Whether it was rolled back because of another transaction: a retry may succeed."""
    return _code(error) in _COLLISIONS


def is_limit(error: Exception) -> bool:
    """Whether it waited or ran too long: an immediate retry would only wait again."""
    return _code(error) in _LIMITS


def _connect(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except SQLAlchemyError as error:
        raise StoreUnavailable(_sentence("the database cannot be reached", error)) from error


def _begin(connection: Connection) -> RootTransaction:
    try:
        return connection.begin()
    except SQLAlchemyError as error:
        raise StoreUnavailable(_sentence("cannot start a transaction", error)) from error


def _commit(open_transaction: RootTransaction) -> None:
    try:
        open_transaction.commit()
    except DBAPIError as error:
        if _surely_rolled_back(error):
            raise
        raise CommitUnknown(_sentence("the commit was not confirmed", error)) from error


def _surely_rolled_back(error: DBAPIError) -> bool:
    code = _code(error)
    return bool(code) and not error.connection_invalidated and not code.startswith(_UNSURE)


def _code(error: Exception) -> str:
    """Return PostgreSQL's code of an error; SQLite has none."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _sentence(problem: str, error: SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines() or [""]
    return f"{problem}: {cause.__class__.__name__}: {lines[0]}"


log = logs.get(__name__)

T = TypeVar("T")

INTAKE_LIMIT = 10_000
BATCH_LIMIT = 500
TRIES = 3
"""Maximum tries of a request that conflicts with another reconciler's transaction."""


class _WriteRequest:
    """A request and its caller: a thread, or a coroutine of an event loop."""

    def __init__(
        self, work: Callable[[Connection], Any], loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self.work = work
        self.loop = loop
        self.done: Future[Any] | asyncio.Future[Any] = loop.create_future() if loop else Future()

    def is_wanted(self) -> bool:
        """Claim the request: True if the caller still waits; then it can no longer be cancelled."""
        if isinstance(self.done, asyncio.Future):
            return not self.done.cancelled()
        return self.done.set_running_or_notify_cancel()

    def answer(self, outcome: "_Outcome") -> None:
        """Set the outcome; for a coroutine this must run in its event loop."""
        if isinstance(self.done, asyncio.Future) and self.done.done():
            return  # it was cancelled meanwhile
        if outcome.error is not None:
            self.done.set_exception(outcome.error)
        else:
            self.done.set_result(outcome.result)


@dataclass(frozen=True)
class _Outcome:
    result: Any = None
    error: Exception | None = None


class Writer:
    """Serializes all writes; create one per database."""

    def __init__(self, engine: Engine, audit_key: bytes = b"") -> None:
        """Use an engine that only the writer uses, and the key of the audit chain."""
        self._engine = engine
        self._audit_key = audit_key
        self._control: deque[_WriteRequest] = deque()
        self._intake: queue.Queue[_WriteRequest] = queue.Queue(INTAKE_LIMIT)
        self._wake = threading.Event()
        self._accepting = threading.Lock()
        self._stopping = False
        self.on_commit: Callable[[float], None] = lambda _seconds: None
        """Called in the writer's thread with the duration of each committed transaction."""

        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Finish all accepted requests, then stop the thread."""
        with self._accepting:
            self._stopping = True
        self._wake.set()
        self._thread.join()
        self._engine.dispose()

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run a control request; returns after the commit.

        Raises:
            CommitUnknown: it may or may not be stored.
            StoreError: nothing was stored.
        """
        request = _WriteRequest(work, asyncio.get_running_loop())
        self._accept(request, self._control.append)
        answer: T = await request.done  # type: ignore[misc]  # it is an asyncio future
        return answer

    async def take_in(self, work: Callable[[Connection], T]) -> T:
        """Run an intake request, after all control requests.

        Raises:
            StoreBusy: the intake queue is full.
            CommitUnknown: it may or may not be stored.
            StoreError: nothing was stored.
        """
        request = _WriteRequest(work, asyncio.get_running_loop())
        try:
            self._accept(request, self._intake.put_nowait)
        except queue.Full as error:
            raise StoreBusy("the intake is full") from error
        answer: T = await request.done  # type: ignore[misc]  # it is an asyncio future
        return answer

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """Queue a control request from any thread.

        Raises:
            StoreUnavailable: the writer is stopped.
        """
        request = _WriteRequest(work)
        self._accept(request, self._control.append)
        assert isinstance(request.done, Future)  # noqa: S101 - made without a loop
        return request.done

    @property
    def waiting(self) -> int:
        """Number of queued requests."""
        return len(self._control) + self._intake.qsize()

    def _accept(self, request: _WriteRequest, put: Callable[[_WriteRequest], None]) -> None:
        with self._accepting:  # after `stop` the thread never answers
            if self._stopping:
                raise StoreUnavailable("the writer is stopped; nothing is stored")
            put(request)
        self._wake.set()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            self._wake.wait()
            self._wake.clear()
            # Read before the queues are drained: everything accepted is in them by now.
            stopping = self._stopping
            while self.waiting:
                if batch := self._next_batch():
                    self._carry_out(batch)

    def _next_batch(self) -> list[_WriteRequest]:
        batch: list[_WriteRequest] = []
        while self._control and len(batch) < BATCH_LIMIT:
            batch.append(self._control.popleft())
        while len(batch) < BATCH_LIMIT:
            try:
                batch.append(self._intake.get_nowait())
            except queue.Empty:
                break
        return [request for request in batch if request.is_wanted()]

    def _carry_out(self, batch: list[_WriteRequest]) -> None:
        if len(batch) > 1:
            try:
                outcomes = [_Outcome(result=result) for result in self._commit(batch)]
            except (StoreUnavailable, CommitUnknown) as error:
                _refuse(batch, error)
            except Exception:  # noqa: BLE001 - whose it was shows when each is tried alone
                self._one_by_one(batch)
            else:
                _answer(batch, outcomes)
        else:
            self._one_by_one(batch)

    def _one_by_one(self, batch: list[_WriteRequest]) -> None:
        for position, request in enumerate(batch):
            try:
                outcome = _Outcome(result=self._alone(request))
            except (StoreUnavailable, CommitUnknown) as error:
                # The others would wait just as long, and delay the ones behind them.
                _refuse(batch[position:], error)
                return
            except Exception as error:  # noqa: BLE001 - passed on to the sender
                outcome = _Outcome(error=_explained(error))
            _answer([request], [outcome])

    def _alone(self, request: _WriteRequest) -> Any:
        for left in reversed(range(TRIES)):
            try:
                return self._commit([request])[0]
            except DBAPIError as error:
                if is_limit(error):
                    raise StoreUnavailable(
                        "the database took too long; nothing is stored"
                    ) from error
                if not (left and is_collision(error)):
                    raise
        raise AssertionError  # the last try returns or raises

    def _commit(self, batch: list[_WriteRequest]) -> list[Any]:
        began = clock.monotonic()
        with transaction(self._engine, self._audit_key) as connection:
            results = [request.work(connection) for request in batch]
            failpoints.reached(Failpoint.COMMIT_BEFORE)
        failpoints.reached(Failpoint.COMMIT_AFTER)
        try:
            self.on_commit(clock.monotonic() - began)
        except Exception:  # the batch is committed and must not be replayed
            log.exception("commit_callback_failed")
        return results


def _refuse(batch: list[_WriteRequest], error: StoreUnavailable | CommitUnknown) -> None:
    """Fail every request as not stored or outcome unknown; each gets its own exception."""
    log.error("write_failed", error=str(error), requests=len(batch))
    _answer(batch, [_Outcome(error=type(error)(str(error))) for _ in batch])


def _answer(batch: list[_WriteRequest], outcomes: list[_Outcome]) -> None:
    """Answer all callers; each event loop is notified once for the whole batch."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_WriteRequest, _Outcome]]] = {}
    for request, outcome in zip(batch, outcomes, strict=True):
        if request.loop is None:
            request.answer(outcome)
        else:
            by_loop.setdefault(request.loop, []).append((request, outcome))
    for loop, answers in by_loop.items():
        # The loop may be closed; then there is no caller.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_answer_in_loop, answers)


def _answer_in_loop(answers: list[tuple[_WriteRequest, _Outcome]]) -> None:
    for request, outcome in answers:
        request.answer(outcome)


def _explained(error: Exception) -> Exception:
    if isinstance(error, TradingOpsError):
        return error
    if isinstance(error, SQLAlchemyError):
        cause = getattr(error, "orig", None) or error
        log.error("write_failed", error=f"{cause.__class__.__name__}: {cause}")
        return StoreError(f"the database could not store it: {error.__class__.__name__}")
    log.error("write_failed", error=repr(error))
    return error
