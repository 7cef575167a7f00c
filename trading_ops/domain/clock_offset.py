"""The offset of a clock from a monotonic one, from one reading.

A reading takes time: the process may be frozen between request and response. So an offset is a
range, wider for a slow reading. If two offsets of one clock do not overlap, it stepped in between.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Offset:
    """Seconds that a clock is ahead of the monotonic one: between `low` and `high`."""

    low: float
    high: float

    @classmethod
    def of_reading(
        cls, shown: float, *, asked: float, answered: float, resolution: float = 0.0
    ) -> "Offset":
        """Return the offset of a clock that showed this time.

        Args:
            shown: the time in Unix seconds, rounded down.
            asked: monotonic time of the request.
            answered: monotonic time of the response.
            resolution: of `shown`, in seconds.
        """
        return cls(shown - answered, shown + resolution - asked)

    @property
    def width(self) -> float:
        """Width of the range in seconds."""
        return self.high - self.low

    def ahead_of(self, other: "Offset") -> float:
        """Return the minimum seconds by which it is ahead; negative: behind; 0: may be equal."""
        if self.low > other.high:
            return self.low - other.high
        return min(0.0, self.high - other.low)
