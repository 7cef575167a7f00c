"""Matches orders: pure, in Decimals, changes nothing.

A taker matches the simulated levels and the other accounts' resting orders, best price first; at
the same price resting orders come first. It stops at an order of its own account.
"""

import random
from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal
from typing import Final

import msgspec

from trading_ops_lab.paper.venue.orders import ZERO, Order, Side
from trading_ops_lab.paper.venue.other_traders import Level, TradeOfOthers
from trading_ops_lab.paper.venue.pairs import LOT_DECIMALS, lots

SMALLEST: Final = Decimal(1).scaleb(-LOT_DECIMALS)
"""The smallest volume: one lot."""

PARTIAL_CHANCE: Final = 0.35
"""Probability that a simulated trade fills a resting order only partially."""

PARTIAL_SHARE: Final = (0.3, 0.8)
"""Minimum and maximum share of a partial fill."""


class Fill(msgspec.Struct, frozen=True):
    """A taker's fill against a simulated level or a resting order."""

    price: Decimal
    volume: Decimal
    level: Level | None = None
    resting: Order | None = None


class Taking(msgspec.Struct, frozen=True):
    """All fills of one taker, in order."""

    fills: list[Fill]
    met_itself: bool
    """Whether the next order to match was the account's own."""

    @property
    def volume(self) -> Decimal:
        """Base volume of all fills."""
        return sum((fill.volume for fill in self.fills), ZERO)


def reaches(side: Side, limit: Decimal | None, price: Decimal) -> bool:
    """Return whether an order of this side and limit accepts the price; no limit accepts any."""
    if limit is None:
        return True
    return price <= limit if side == "buy" else price >= limit


def ladder(
    side: Side, levels: Sequence[Level], resting: Sequence[Order]
) -> list[tuple[Decimal, Decimal, Level | None, Order | None]]:
    """Return (price, volume, level, resting order) of all that `side` can match, best first."""
    sign = 1 if side == "buy" else -1
    steps: list[tuple[tuple[Decimal, int, float], Decimal, Level | None, Order | None]] = [
        ((sign * level.price, 1, 0.0), level.volume, level, None) for level in levels
    ]
    steps += [
        ((sign * order.price, 0, order.place), order.remaining, None, order)
        for order in resting
        if order.price is not None and order.side != side
    ]
    steps.sort(key=lambda step: step[0])
    return [(sign * key[0], volume, level, order) for key, volume, level, order in steps]


def take(
    account: str,
    side: Side,
    volume: Decimal,
    limit: Decimal | None,
    levels: Sequence[Level],
    resting: Sequence[Order],
) -> Taking:
    """Match a taker of `volume` lots of base, down to its limit price."""
    fills: list[Fill] = []
    left = volume
    for price, offered, level, order in ladder(side, levels, resting):
        if not left or not reaches(side, limit, price):
            break
        if order is not None and order.account == account:
            return Taking(fills, met_itself=True)
        part = min(left, offered)
        if part:
            fills.append(Fill(price, part, level, order))
            left -= part
    return Taking(fills, met_itself=False)


def cut(fills: Sequence[Fill], volume: Decimal | None) -> list[Fill]:
    """Return fills up to a volume; all of them without a limit."""
    if volume is None:
        return list(fills)
    kept: list[Fill] = []
    for fill in fills:
        part = min(fill.volume, volume)
        if part > 0:
            kept.append(Fill(fill.price, part, fill.level, fill.resting))
            volume -= part
    return kept


def affordable(budget: Decimal, levels: Sequence[Level]) -> Decimal:
    """Return the volume, in lots, that a budget in quote buys from the simulated levels."""
    volume = ZERO
    for level in levels:
        part = min(level.volume, lots(budget / level.price))
        volume += part
        budget -= part * level.price
        if part < level.volume:
            break
    return volume


def crossing(order: Order, levels: Sequence[Level]) -> list[Fill]:
    """Return the fills of a resting order when the simulated prices have moved through its limit.

    The price is the resting order's own. The matched levels are consumed, so the book is never left
    crossed.
    """
    return [
        Fill(order.price or ZERO, fill.volume, fill.level)
        for fill in take(order.account, order.side, order.remaining, order.price, levels, ()).fills
    ]


def hit(order: Order, trade: TradeOfOthers, supply: Decimal, dice: random.Random) -> Decimal:
    """Return how much of a resting order a simulated trade fills, rarely all of it.

    Args:
        order: open, with a limit price.
        trade: the simulated trade of this tick.
        supply: volume of that trade that no better order has used.
        dice: the tick's random generator.
    """
    if trade.side == order.side or not reaches(order.side, order.price, trade.price):
        return ZERO
    volume = min(order.remaining, supply)
    if dice.random() < PARTIAL_CHANCE:
        share = Decimal(dice.uniform(*PARTIAL_SHARE))
        volume = max(
            min(volume, SMALLEST), (volume * share).quantize(SMALLEST, rounding=ROUND_DOWN)
        )
    return volume
