"""How many events of one bot are stored: a burst, then a number each minute.

The burst is as long as the journal of an agent, so that a bot that was not read for a while loses
nothing. A bot that reports faster than its rate for long loses the excess.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from trading_ops import clock

BURST = 100_000
"""The most events that the journal of an agent keeps."""


@dataclass(kw_only=True)
class EventBudget:
    """Of one bot; full at the start."""

    per_minute: float
    burst: int = BURST
    now: Callable[[], float] = clock.boottime
    _left: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        """Begin full."""
        self._left, self._at = float(self.burst), self.now()

    def left(self) -> int:
        """Return how many events may be stored now."""
        now = self.now()
        refilled = self._left + (now - self._at) * self.per_minute / 60
        self._left, self._at = min(refilled, float(self.burst)), now
        return int(self._left)

    def spend(self, count: int) -> None:
        """Note that events were stored; at most as many as are left."""
        self._left -= count
