"""A connection of its own to the database, on which nobody waits without an end.

A server that is frozen answers nothing and breaks nothing, so no timeout of the database or of TCP
ends the wait. Here the connection is broken from this side.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from typing import Protocol, TypeVar

from trading_ops.botkit.records.driver import Driver
from trading_ops.botkit.records.sql import Session
from trading_ops.errors import StoreError

Result = TypeVar("Result")


class Breakable(Driver, Protocol):
    """A driver whose connection another thread can break."""

    def abort(self) -> None:
        """End the wait of whoever uses it."""
        ...


class Line:
    """Transactions one after the other, each within a time."""

    def __init__(self, driver: Breakable, *, name: str, within: float) -> None:
        """Take a driver that nobody else uses.

        Args:
            driver: connects at the first transaction.
            name: of the thread.
            within: seconds for one transaction, the connecting included.
        """
        self._driver = driver
        self._within = within
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def ask(self, work: Callable[[Session], Result]) -> Result:
        """Run `work` in a transaction, from the loop.

        Raises:
            StoreError: it is not known to be durable.
        """
        done = self._pool.submit(self._driver.transact, work)
        try:
            async with asyncio.timeout(self._within):
                return await asyncio.wrap_future(done)
        except TimeoutError as error:
            raise self._too_late() from error

    def run(self, work: Callable[[Session], Result]) -> Result:
        """Run `work` in a transaction, from a thread that may wait.

        Raises:
            StoreError: it is not known to be durable.
        """
        done = self._pool.submit(self._driver.transact, work)
        try:
            return done.result(self._within)
        except TooLate as error:
            done.cancel()
            raise self._too_late() from error

    def close(self) -> None:
        """Disconnect."""
        self._driver.abort()
        self._pool.submit(self._driver.close)
        self._pool.shutdown(wait=False)

    def _too_late(self) -> StoreError:
        self._driver.abort()
        return StoreError(f"{self._driver.name}: no answer within {self._within:g} s")
