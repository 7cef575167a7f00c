"""A few hundred lines that are rendered together and cached while none of them changes.

Blocks are small, so that a scrape can yield between them. A block that was the same in two scrapes
caches its text, at the cost of memory; one that changes often does not.
"""

import operator
from typing import Generic, NamedTuple, TypeVar

from trading_ops.instrument.lines import Shape
from trading_ops.instrument.numbers import printable

Child = TypeVar("Child")


class _LastScrape(NamedTuple):
    """Result of the last scrape. It is replaced as a whole, so that several threads may write."""

    exemplars: bool
    state: list[object]
    text: bytes
    """Empty if it differed from the scrape before."""


class Block(Generic[Child]):
    """Some children of one family, with their lines except for the numbers.

    One thread at a time may add children; others may render at the same time.
    """

    __slots__ = ("_children", "_found", "_parts", "_shape")

    def __init__(self, shape: Shape[Child]) -> None:
        self._shape = shape
        self._children: list[Child] = []
        # For each line its two halves and a slot for the number; never fewer than the children
        # need.
        self._parts: list[bytes] = []
        self._found = _LastScrape(exemplars=False, state=[], text=b"")

    def __len__(self) -> int:
        return len(self._children)

    def add(self, values: tuple[str, ...], child: Child) -> None:
        """Add a child with these label values."""
        for head, tail in self._shape.lines(values):
            self._parts += (head, tail, b"")
        self._children.append(child)

    def text(self, *, exemplars: bool) -> bytes:
        """Return the current lines of all children."""
        children = self._children.copy()
        if not children:  # created by a thread that has not added the first child yet
            return b""
        state = self._shape.state(children, exemplars=exemplars)
        found = self._found
        quiet = found.exemplars is exemplars and _same(found.state, state)
        if quiet and found.text:
            return found.text
        text = self._write(children, state, exemplars=exemplars)
        self._found = _LastScrape(exemplars, state, text if quiet else b"")
        return text

    def _write(self, children: list[Child], state: list[object], *, exemplars: bool) -> bytes:
        parts = self._parts[: len(children) * self._shape.lines_each * 3]
        parts[2::3] = printable(self._shape.numbers(children, state))
        if exemplars:
            followed = self._shape.exemplars(children, state)
            parts[2::3] = map(operator.add, parts[2::3], followed)
        parts[0] = parts[0][1:]  # each starts with a line break, and the block ends with one
        parts.append(b"\n")
        return b"".join(parts)


def _same(before: list[object], now: list[object]) -> bool:
    # Compares identity, not values: -0.0 equals 0.0, and some values cannot be compared.
    return len(before) == len(now) and all(map(operator.is_, before, now))
