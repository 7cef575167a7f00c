"""Reading beside the writer: short transactions in threads, on connections that cannot write."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from trading_ops.errors import StoreError

T = TypeVar("T")


class Reader:
    """Reads consistently: each call sees one moment of the database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` reads.

        Raises:
            StoreError: the database did not answer.
        """
        return await asyncio.to_thread(self._read, work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._engine.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            name = error.__class__.__name__
            raise StoreError(f"the database could not be read: {name}") from error

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()
