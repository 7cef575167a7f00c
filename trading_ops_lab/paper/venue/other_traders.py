"""Other market participants: a seeded simulation of their orders and trades."""

import random
from decimal import Decimal
from typing import Final

import msgspec

from trading_ops_lab.paper.venue.orders import Side
from trading_ops_lab.paper.venue.pairs import LOT_DECIMALS, Pair

DEPTH: Final = 25
"""Price levels on each side."""

HALF_SPREAD: Final = 5e-5
"""Distance from the fair price to the best price, as a share of the price."""

LEVEL_GAP: Final = 4e-5
"""Mean distance between two levels, as a share of the price."""

LEVEL_VALUE: Final = (500.0, 15_000.0)
"""Minimum and maximum US dollars on one level."""

TRADE_VALUE: Final = (20.0, 2_000.0)
"""Minimum and maximum US dollars of one simulated trade."""


class Level(msgspec.Struct):
    """A price and its volume; takers reduce it until the next tick."""

    price: Decimal
    volume: Decimal


class TradeOfOthers(msgspec.Struct, frozen=True):
    """A trade between simulated traders; `side` is the taker's."""

    side: Side
    price: Decimal
    volume: Decimal


class OtherTraders(msgspec.Struct):
    """The simulated order book of one pair, best price first on both sides."""

    bids: list[Level]
    asks: list[Level]

    def against(self, side: Side) -> list[Level]:
        """Return the levels that an order of this side can match."""
        return self.asks if side == "buy" else self.bids


def gather(pair: Pair, middle: float, base_value: float, dice: random.Random) -> OtherTraders:
    """Build the book around a fair price.

    Args:
        pair: its pair.
        middle: fair price in quote for one unit of base.
        base_value: US dollars for one unit of base, which sizes the volumes.
        dice: the tick's random generator.
    """
    steps = middle * 10**pair.price_decimals
    half = max(1, round(steps * HALF_SPREAD))
    gap = max(1.0, steps * LEVEL_GAP)

    def side(direction: int) -> list[Level]:
        position = round(steps) + direction * half
        levels = []
        for _ in range(DEPTH):
            volume = volume_for(dice.uniform(*LEVEL_VALUE), base_value)
            levels.append(Level(pair.price(max(1, position)), volume))
            position += direction * max(1, round(dice.expovariate(1 / gap)))
        return levels

    return OtherTraders(bids=side(-1), asks=side(1))


def trade(traders: OtherTraders, base_value: float, dice: random.Random) -> TradeOfOthers:
    """Simulate a trade at the best level, which is refilled at once."""
    side: Side = dice.choice(("buy", "sell"))
    best = traders.against(side)[0]
    volume = min(volume_for(dice.uniform(*TRADE_VALUE), base_value), best.volume)
    return TradeOfOthers(side, best.price, volume)


def volume_for(dollars: float, base_value: float) -> Decimal:
    """Return the volume in lots worth an amount of dollars; at least one lot."""
    return Decimal(max(1, round(dollars / base_value * 10**LOT_DECIMALS))).scaleb(-LOT_DECIMALS)
