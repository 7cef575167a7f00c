"""How far a clock is from one that never steps, as far as one reading of it tells.

A reading takes time: the process may be frozen between the question and the answer. So an offset
is a range, which a slow reading makes wider. Two offsets of one clock that do not overlap prove
that it has stepped in between.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Offset:
    """The seconds that a clock is ahead of the steady one: between `low` and `high`."""

    low: float
    high: float

    @classmethod
    def of_reading(
        cls, shown: float, *, asked: float, answered: float, resolution: float = 0.0
    ) -> "Offset":
        """Return the offset of a clock that showed this time.

        Args:
            shown: the time, in seconds since the epoch, rounded down.
            asked: when it was asked for, on the steady clock.
            answered: when the answer was there, on the steady clock.
            resolution: of `shown`, in seconds.
        """
        return cls(shown - answered, shown + resolution - asked)

    @property
    def width(self) -> float:
        """The seconds within which it lies."""
        return self.high - self.low

    def ahead_of(self, other: "Offset") -> float:
        """Return how many seconds at least it is ahead; negative: behind; 0: they may be equal."""
        if self.low > other.high:
            return self.low - other.high
        return min(0.0, self.high - other.low)
