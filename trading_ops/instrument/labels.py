"""Label values are bounded: what is not declared beforehand becomes `other`.

A venue's free text or a mistyped symbol must never become a new series: series are memory, in the
bot and in Prometheus, for weeks.
"""

from collections.abc import Iterable, Mapping

OTHER = "other"
"""Stands for every value beyond the limit; its series warns of an unfinished declaration."""


LONGEST = 200
"""Characters of a value that was not declared: a text of megabytes would be in every scrape."""


class Bounds:
    """The values that the labels of one family may have. Not thread-safe."""

    __slots__ = ("_known", "_limits")

    def __init__(
        self, names: tuple[str, ...], declared: Mapping[str, Iterable[str]], limit: int
    ) -> None:
        """Declare the values.

        Args:
            names: of the labels.
            declared: values that are known beforehand, by label name.
            limit: how many further values each label may have before they become `other`.

        Raises:
            ValueError: values are declared for a label that is not there.
        """
        if unknown := set(declared) - set(names):
            raise ValueError(f"unknown labels: {', '.join(sorted(unknown))}")
        # By itself, so that many label sets share one copy of a value.
        self._known = [
            {value: value for value in map(clean, declared.get(name, ()))} for name in names
        ]
        self._limits = [len(known) + limit for known in self._known]

    def declared(self) -> list[list[str]]:
        """Return the values known so far, sorted, for each label in its order."""
        return [sorted(known) for known in self._known]

    def within(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Return the values as they may be used; a new one takes a free place, if there is one.

        Raises:
            ValueError: there are more or fewer values than labels.
        """
        if len(values) != len(self._known):
            raise ValueError(f"{len(self._known)} label values expected, got {len(values)}")
        return tuple(map(self._one, range(len(values)), values))

    def _one(self, index: int, value: str) -> str:
        known = self._known[index]
        if value in known:
            return known[value]
        if len(known) >= self._limits[index] or len(value) > LONGEST:
            return OTHER
        return known.setdefault(value, value)


def clean(value: object) -> str:
    """Return the value as text that can be encoded.

    Half a surrogate pair, which JSON can carry, would make every later scrape fail.
    """
    return str(value).encode("utf-8", "replace").decode()
