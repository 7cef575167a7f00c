"""A few hundred lines that are rendered together and cached while none of them changes.

Blocks are small, so that a scrape can yield between them. A block that was the same in two scrapes
caches its text, at the cost of memory; one that changes often does not.
"""

import operator
from typing import Generic, NamedTuple, TypeVar

from trading_ops.instrument.lines import Shape
from trading_ops.instrument.numbers import printable

Child = TypeVar("Child")


class _Found(NamedTuple):
    """What the last scrape found. It is replaced as a whole, so that several threads may write."""

    exemplars: bool
    state: list[object]
    text: bytes
    """Empty: it was not the same as in the scrape before."""


class Block(Generic[Child]):
    """Some children of one family, and all of their lines but the numbers.

    One thread at a time may add; any may write meanwhile, and then sees those added before.
    """

    __slots__ = ("_children", "_found", "_parts", "_shape")

    def __init__(self, shape: Shape[Child]) -> None:
        self._shape = shape
        self._children: list[Child] = []
        # Two halves and the place of the number, line by line; never fewer than the children have.
        self._parts: list[bytes] = []
        self._found = _Found(exemplars=False, state=[], text=b"")

    def __len__(self) -> int:
        return len(self._children)

    def add(self, values: tuple[str, ...], child: Child) -> None:
        """Add a child with these label values."""
        for head, tail in self._shape.lines(values):
            self._parts += (head, tail, b"")
        self._children.append(child)

    def text(self, *, exemplars: bool) -> bytes:
        """Return the lines of all children as they are now."""
        children = self._children.copy()
        if not children:  # made by another thread that has yet to add the first
            return b""
        state = self._shape.state(children, exemplars=exemplars)
        found = self._found
        quiet = found.exemplars is exemplars and _same(found.state, state)
        if quiet and found.text:
            return found.text
        text = self._write(children, state, exemplars=exemplars)
        self._found = _Found(exemplars, state, text if quiet else b"")
        return text

    def _write(self, children: list[Child], state: list[object], *, exemplars: bool) -> bytes:
        parts = self._parts[: len(children) * self._shape.lines_each * 3]
        parts[2::3] = printable(self._shape.numbers(children, state))
        if exemplars:
            told = self._shape.exemplars(children, state)
            parts[2::3] = map(operator.add, parts[2::3], told)
        parts[0] = parts[0][1:]  # each starts with a line break, and the block ends with one
        parts.append(b"\n")
        return b"".join(parts)


def _same(before: list[object], now: list[object]) -> bool:
    # The very objects, not their values: -0.0 equals 0.0, and a strange value may not compare.
    return len(before) == len(now) and all(map(operator.is_, before, now))
