"""Runs work that can hang, such as reading a dead network disk, in a separate thread."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from trading_ops.errors import TradingOpsError

T = TypeVar("T")


class OneAtATime(Generic[T]):
    """Runs one kind of work in a thread, at most one at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._working: Future[T] | None = None

    async def do(self, work: Callable[[], T]) -> T:
        """Run the work and return its result; its exceptions are passed on.

        Raises:
            TradingOpsError: the previous work has not ended; this one was not started.
        """
        if self._working is not None and not self._working.done():
            raise TradingOpsError(f"an earlier reading of {self._name} has not ended")
        self._working = in_thread(work, name=self._name)
        return await asyncio.wrap_future(self._working)


def in_thread(work: Callable[[], T], *, name: str = "reading") -> Future[T]:
    """Run the work in a daemon thread: one that hangs must not delay the exit."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - passed on to the waiter
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
