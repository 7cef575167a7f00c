"""The little that the bot's two databases have in common: statements with `?` and rows."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")

Value = str | int | float | None
Row = tuple[Any, ...]


class Session(Protocol):
    """One transaction: what is executed in it is kept whole or not at all."""

    def execute(self, statement: str, values: Sequence[Value] = ()) -> "Rows":
        """Run one statement; each `?` stands for a value. Texts with `?` or `%` are values too."""
        ...


class Rows(Protocol):
    """What a statement found."""

    @property
    def count(self) -> int:
        """How many rows were found or changed."""
        ...

    def one(self) -> Row | None:
        """Return the first row, or None."""
        ...

    def all(self) -> list[Row]:
        """Return all rows."""
        ...


Work = Callable[[Session], Result]


class Database(Protocol):
    """Runs functions, one after the other, each in a transaction of its own."""

    async def do(
        self, work: Callable[[Session], Result], *, statement: str = "transaction"
    ) -> Result:
        """Run `work`, called `statement`; when this returns, what it did is durable.

        Raises:
            StoreError: it is not known to be; the same change may be made again.
        """
        ...

    async def renew(self, *, at_once: bool) -> None:
        """Replace the connection, ahead of what waits.

        Args:
            at_once: whether what runs is made to fail; else it is finished first.

        Raises:
            StoreError: there is no new one; the next `do` tries again.
        """
        ...

    async def close(self) -> None:
        """Finish what was given, then close."""
        ...
