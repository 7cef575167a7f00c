"""Label values are bounded: what is not declared beforehand becomes `other`."""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

OTHER = "other"
"""Stands for every value that nobody declared; its series warns of an unfinished declaration."""

Child = TypeVar("Child")


class Children(Generic[Child]):
    """The children of a family with one label, by value.

    A venue's free text or a mistyped symbol must never become a new series: series are memory, in
    the bot and in Prometheus, for weeks.
    """

    __slots__ = ("_bind", "_bound", "_declared")

    def __init__(
        self, bind: Callable[[str], Child], declared: Iterable[str], *, at_once: bool = True
    ) -> None:
        """Declare the values.

        Args:
            bind: makes the child of one value; must give the same child for the same value.
            declared: the values that are known beforehand.
            at_once: make their children now, so that they are exported as zero. False where a
                zero would be a lie, as for a balance that was not read yet.
        """
        self._bind = bind
        self._declared = frozenset(declared)
        self._bound: dict[str, Child] = {}
        if at_once:
            for value in sorted(self._declared):
                self._bound[value] = bind(value)

    def of(self, value: str) -> Child:
        """Return the child of this value, or of `other` when the value is not declared."""
        child = self._bound.get(value)
        if child is None:
            name = value if value in self._declared else OTHER
            child = self._bound[name] = self._bind(name)
        return child
