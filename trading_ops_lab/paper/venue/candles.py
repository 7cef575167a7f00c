"""Trades per minute, and what is derived from them: longer candles, and figures of the day."""

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

MINUTE: Final = 60
"""Seconds."""

DAY_MINUTES: Final = 24 * 60
"""Number of closed minutes kept: the day that a ticker covers."""


class Candle(msgspec.Struct):
    """Trades from `start` (epoch seconds) on; volume in base, cost in quote."""

    start: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    count: int = 0

    @classmethod
    def flat(cls, start: int, price: Decimal) -> "Candle":
        """Return a candle without trades."""
        return cls(start, price, price, price, price)

    def add(self, price: Decimal, volume: Decimal) -> None:
        """Count one trade."""
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price
        self.volume += volume
        self.cost += price * volume
        self.count += 1

    def merge(self, later: "Candle") -> None:
        """Append a later candle."""
        self.high, self.low = max(self.high, later.high), min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.cost += later.cost
        self.count += later.count

    @property
    def average(self) -> Decimal:
        """Volume-weighted price; the close if there were no trades."""
        return self.cost / self.volume if self.volume else self.close


class Candles:
    """The closed minutes of one pair, and the open one."""

    def __init__(self, closed: Iterable[Candle], price: Decimal, now: float) -> None:
        """Continue after stored minutes; minutes in which the venue was down are flat."""
        self.closed: deque[Candle] = deque(closed, maxlen=DAY_MINUTES)
        self.open = Candle.flat(_minute(now), price)
        self._day: Candle | None = None
        if self.closed:
            missing = range(self.closed[-1].start + MINUTE, self.open.start, MINUTE)
            close = self.closed[-1].close
            self.closed.extend(Candle.flat(start, close) for start in missing[-DAY_MINUTES:])

    def roll(self, now: float) -> Candle | None:
        """Close the open minute if it is over; return it."""
        if now < self.open.start + MINUTE:
            return None
        closed = self.open
        self.closed.append(closed)
        self.open = Candle.flat(_minute(now), closed.close)
        self._day = None
        return closed

    def day(self) -> Candle:
        """Return the last 24 hours as one candle."""
        if self._day is None:
            self._day = _joined(self.closed) if self.closed else Candle.flat(0, self.open.open)
        total = msgspec.structs.replace(self._day)
        total.merge(self.open)
        return total

    def every(self, minutes: int) -> list[Candle]:
        """Return candles of this length in minutes, oldest first, the open one last."""
        span = minutes * MINUTE
        candles: list[Candle] = []
        for candle in [*self.closed, self.open]:
            start = candle.start - candle.start % span
            if candles and candles[-1].start == start:
                candles[-1].merge(candle)
            else:
                candles.append(msgspec.structs.replace(candle, start=start))
        return candles


def _minute(now: float) -> int:
    return int(now) - int(now) % MINUTE


def _joined(candles: Iterable[Candle]) -> Candle:
    iterator = iter(candles)
    total = msgspec.structs.replace(next(iterator))
    for candle in iterator:
        total.merge(candle)
    return total
