"""Errors of the exchange, counted in Freqtrade's log, the only place where they appear.

While an exchange refuses connections or returns 500, Freqtrade's health and state stay ok; only its
log has a warning for each failed request. The log buffer is overwritten within minutes and read
repeatedly, so lines are identified by their timestamp.
"""

from collections import Counter, deque
from collections.abc import Iterable

Line = tuple[str, float, str, str, str]

LOGGER = "freqtrade.exchange"
LEVELS = frozenset({"WARNING", "ERROR", "CRITICAL"})
WINDOW_SECONDS = 60.0
ENOUGH = 3
"""A single failed request is retried and does not count; a dead exchange causes several per
minute."""

_REMEMBERED = 10_000


class ExchangeErrors:
    """Counts each line once."""

    def __init__(self) -> None:
        self.total = 0
        self._newest = 0.0
        self._at_newest: Counter[Line] = Counter()
        self._moments: deque[float] = deque(maxlen=_REMEMBERED)

    def add(self, lines: Iterable[Line]) -> None:
        """Add the newest lines; known lines are not counted again."""
        by_moment: dict[float, Counter[Line]] = {}
        for line in lines:
            if line[1] >= self._newest:
                by_moment.setdefault(line[1], Counter())[line] += 1
        for moment, found in sorted(by_moment.items()):
            known = self._at_newest if moment == self._newest else Counter[Line]()
            for line in (found - known).elements():
                if _is_error(line):
                    self.total += 1
                    self._moments.append(moment / 1000)
            self._newest, self._at_newest = moment, found | known

    def is_failing(self, now: float) -> bool:
        """Return whether there were so many errors recently that trading is impossible."""
        return sum(1 for moment in self._moments if now - moment <= WINDOW_SECONDS) >= ENOUGH


def _is_error(line: Line) -> bool:
    _, _, logger, level, _ = line
    return level in LEVELS and (logger == LOGGER or logger.startswith(LOGGER + "."))
