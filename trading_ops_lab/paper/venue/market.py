"""One pair: the simulated book, the last trade, and the candles."""

import random
from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from trading_ops_lab.paper.venue import other_traders
from trading_ops_lab.paper.venue.candles import DAY_MINUTES, MINUTE, Candle, Candles
from trading_ops_lab.paper.venue.orders import ZERO, Kind, Order, Side
from trading_ops_lab.paper.venue.pairs import Pair
from trading_ops_lab.paper.venue.prices import Walk

RECENT_TRADES: Final = 1000
"""Number of public trades kept."""

QUARTERS: Final = 4
"""Trades per minute in the generated history of a new venue."""


class PublicTrade(msgspec.Struct, frozen=True):
    """A public trade; `side` is the taker's."""

    price: Decimal
    volume: Decimal
    time: float
    side: Side
    kind: Kind


class Market:
    """The state of one pair between two ticks."""

    def __init__(self, pair: Pair, walk: Walk, candles: Iterable[Candle], now: float) -> None:
        """Continue after stored candles."""
        self.pair = pair
        self._walk = walk
        self.book = self._gather()
        self.last = PublicTrade(self.book.bids[0].price, ZERO, now, "sell", "market")
        self.candles = Candles(candles, self.last.price, now)
        self.trades: deque[PublicTrade] = deque(maxlen=RECENT_TRADES)
        self.printed = 0
        """Trades since the process started; those that are remembered are the last of them."""

    def step(self, now: float) -> tuple[other_traders.TradeOfOthers, Candle | None]:
        """Build a new book around the next price.

        Returns:
            The next simulated trade, not yet published because accounts' orders may come first; and
            the closed candle, if any.
        """
        closed = self.candles.roll(now)
        self.book = self._gather()
        return other_traders.trade(self.book, self._base_value(), self.dice("trade")), closed

    def pause(self, now: float) -> Candle | None:
        """Advance the time without a trade; return the closed candle, if any."""
        return self.candles.roll(now)

    def print(self, price: Decimal, volume: Decimal, side: Side, kind: Kind, now: float) -> None:
        """Publish a trade."""
        self.last = PublicTrade(price, volume, now, side, kind)
        self.trades.append(self.last)
        self.printed += 1
        self.candles.open.add(price, volume)

    def dice(self, purpose: str) -> random.Random:
        """Return this tick's random generator for one purpose of this pair."""
        return self._walk.dice(f"{self.pair.id}/{purpose}")

    def depth(
        self, side: Side, resting: Iterable[Order], count: int
    ) -> list[tuple[Decimal, Decimal]]:
        """Return the public book's (price, volume) on one side, best first, accounts included."""
        levels = self.book.bids if side == "buy" else self.book.asks
        volumes = {level.price: level.volume for level in levels if level.volume}
        for order in resting:
            if order.side == side and order.price is not None:  # all of them: they are on the book
                volumes[order.price] = volumes.get(order.price, ZERO) + order.remaining
        return sorted(volumes.items(), reverse=side == "buy")[:count]

    def _gather(self) -> other_traders.OtherTraders:
        middle = self._walk.middle(self.pair)
        return other_traders.gather(self.pair, middle, self._base_value(), self.dice("book"))

    def _base_value(self) -> float:
        return self._walk.value(self.pair.base)


def invent_history(walk: Walk, pairs: Iterable[Pair], now: float) -> dict[str, list[Candle]]:
    """Generate the day before a new venue's start, with four trades a minute.

    Returns:
        The closed minutes of each pair by its id, oldest first.
    """
    pairs = list(pairs)
    history: dict[str, list[Candle]] = {pair.id: [] for pair in pairs}
    first = int(now) - int(now) % MINUTE - DAY_MINUTES * MINUTE
    for start in range(first, first + DAY_MINUTES * MINUTE, MINUTE):
        for quarter in range(QUARTERS):
            walk.advance(MINUTE / QUARTERS)
            dice = walk.dice("history")
            for pair in pairs:
                price = pair.price(round(walk.middle(pair) * 10**pair.price_decimals))
                candles = history[pair.id]
                if quarter == 0:
                    candles.append(Candle.flat(start, price))
                dollars = dice.uniform(*other_traders.TRADE_VALUE)
                candles[-1].add(price, other_traders.volume_for(dollars, walk.value(pair.base)))
    return history
