"""Errors of the exchange, counted from Freqtrade's log: they are visible nowhere else.

While an exchange refuses connections or answers 500, Freqtrade's health and state stay good. Only
its log has a warning for each failed request. The log buffer is overwritten within minutes and read
repeatedly, so lines are distinguished by their timestamp.
"""

from collections import Counter, deque
from collections.abc import Iterable

Line = tuple[str, float, str, str, str]

LOGGER = "freqtrade.exchange"
LEVELS = frozenset({"WARNING", "ERROR", "CRITICAL"})
WINDOW_SECONDS = 60.0
ENOUGH = 3
"""One failed request is retried and no trouble; a dead exchange makes several a minute at least."""

_REMEMBERED = 10_000


class Trouble:
    """Counts each line once."""

    def __init__(self) -> None:
        self.total = 0
        self._newest = 0.0
        self._at_newest: Counter[Line] = Counter()
        self._moments: deque[float] = deque(maxlen=_REMEMBERED)

    def see(self, lines: Iterable[Line]) -> None:
        """Take the newest lines; those that were taken before are not counted again."""
        by_moment: dict[float, Counter[Line]] = {}
        for line in lines:
            if line[1] >= self._newest:
                by_moment.setdefault(line[1], Counter())[line] += 1
        for moment, found in sorted(by_moment.items()):
            known = self._at_newest if moment == self._newest else Counter[Line]()
            for line in (found - known).elements():
                if _is_trouble(line):
                    self.total += 1
                    self._moments.append(moment / 1000)
            self._newest, self._at_newest = moment, found | known

    def stands(self, now: float) -> bool:
        """Return whether there was so much lately that the exchange cannot be traded on."""
        return sum(1 for one in self._moments if now - one <= WINDOW_SECONDS) >= ENOUGH


def _is_trouble(line: Line) -> bool:
    _, _, logger, level, _ = line
    return level in LEVELS and (logger == LOGGER or logger.startswith(LOGGER + "."))
