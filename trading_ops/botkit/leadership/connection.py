"""A separate database connection on which every transaction has a time limit.

A frozen server answers nothing and closes nothing, so timeouts of the database or of TCP may not
end the wait. Here the connection is aborted from this side.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Protocol, TypeVar

from trading_ops.botkit.records.driver import Driver
from trading_ops.botkit.records.sql import Session
from trading_ops.errors import StoreError

Result = TypeVar("Result")


class AbortableDriver(Driver, Protocol):
    """A driver whose connection another thread can abort."""

    def abort(self) -> None:
        """End a transaction that waits for the server, from another thread."""
        ...


class BoundedConnection:
    """Runs transactions one after the other, each with a time limit."""

    def __init__(self, driver: AbortableDriver, *, name: str, timeout_seconds: float) -> None:
        """Set up the connection; the first transaction opens it.

        Args:
            driver: used by this connection only.
            name: of the thread.
            timeout_seconds: for one transaction, opening the connection included.
        """
        self._driver = driver
        self._timeout_seconds = timeout_seconds
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def transact(self, work: Callable[[Session], Result]) -> Result:
        """Run `work` in a transaction, from the event loop.

        Raises:
            StoreError: it failed or timed out; it is not known whether it was committed.
        """
        done = self._pool.submit(self._driver.transact, work)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await asyncio.wrap_future(done)
        except TimeoutError as error:
            raise self._timed_out() from error

    def transact_blocking(self, work: Callable[[Session], Result]) -> Result:
        """Run `work` in a transaction, from a thread that may block.

        Raises:
            StoreError: it failed or timed out; it is not known whether it was committed.
        """
        done = self._pool.submit(self._driver.transact, work)
        try:
            return done.result(self._timeout_seconds)
        except FutureTimeout as error:
            done.cancel()
            raise self._timed_out() from error

    def close(self) -> None:
        """Disconnect without waiting for the server."""
        self._driver.abort()
        self._pool.submit(self._driver.close)
        self._pool.shutdown(wait=False)

    def _timed_out(self) -> StoreError:
        self._driver.abort()
        return StoreError(f"{self._driver.name}: no answer within {self._timeout_seconds:g} s")
