"""Bounded label values: undeclared values beyond a limit become `other`.

Free text from a venue or a mistyped symbol must not create series: each one uses memory in the bot
and in Prometheus for weeks.
"""

from collections.abc import Iterable, Mapping

OTHER = "other"
"""Replaces every value beyond the limit; its series shows that a declaration is missing."""


LONGEST = 200
"""Maximum characters of an undeclared value: megabytes of text would be in every scrape."""


class Bounds:
    """The values that the labels of one family may have. Not thread-safe."""

    __slots__ = ("_known", "_limits")

    def __init__(
        self, names: tuple[str, ...], declared: Mapping[str, Iterable[str]], limit: int
    ) -> None:
        """Declare the values.

        Args:
            names: of the labels.
            declared: values that are known in advance, by label name.
            limit: how many further values each label may have before they become `other`.

        Raises:
            ValueError: values are declared for an unknown label.
        """
        if unknown := set(declared) - set(names):
            raise ValueError(f"unknown labels: {', '.join(sorted(unknown))}")
        # Its own key, so that many label sets share one copy of a value.
        self._known = [
            {value: value for value in map(clean, declared.get(name, ()))} for name in names
        ]
        self._limits = [len(known) + limit for known in self._known]

    def declared(self) -> list[list[str]]:
        """Return the values known so far for each label, sorted."""
        return [sorted(known) for known in self._known]

    def within(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Return the values to use: a new one is accepted while the label's limit allows.

        Raises:
            ValueError: the number of values is not the number of labels.
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
    """Return the value as text that can be encoded as UTF-8.

    A lone surrogate, which JSON can contain, would make every later scrape fail.
    """
    return str(value).encode("utf-8", "replace").decode()
