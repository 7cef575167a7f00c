"""The common interface of the two databases: transactions, statements with `?`, and rows."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")

Value = str | int | float | None
Row = tuple[Any, ...]


class Session(Protocol):
    """One transaction: all of its statements are committed, or none.

    Example:
        def remove(session: Session) -> int:
            return session.execute("DELETE FROM events WHERE at < ?", (limit,)).count

        removed = await store.transact(remove)
    """

    def execute(self, statement: str, values: Sequence[Value] = ()) -> "Rows":
        """Run one statement.

        Args:
            statement: SQL with `?` for each value; it must contain no other `?`.
            values: in the order of the placeholders.
        """
        ...


class Rows(Protocol):
    """The result of a statement."""

    @property
    def count(self) -> int:
        """The number of rows that were found or changed."""
        ...

    def one(self) -> Row | None:
        """Return the next row, or None."""
        ...

    def all(self) -> list[Row]:
        """Return the remaining rows."""
        ...


Work = Callable[[Session], Result]


class Database(Protocol):
    """Runs functions one at a time, each in its own transaction."""

    async def transact(
        self, work: Callable[[Session], Result], *, statement: str = "transaction"
    ) -> Result:
        """Run `work` in a transaction, which is durable when this returns.

        Args:
            work: called with the session, in the database's thread.
            statement: the transaction's name in metrics.

        Raises:
            StoreError: it is unknown whether it was committed; `work` should be idempotent.
        """
        ...

    async def reconnect(self, *, interrupt: bool) -> None:
        """Replace the connection, before the transactions that are queued.

        Args:
            interrupt: whether to make the running transaction fail; otherwise it finishes first.

        Raises:
            StoreError: the new connection failed; the next transaction tries again.
        """
        ...

    async def close(self) -> None:
        """Finish the queued transactions, then close."""
        ...
