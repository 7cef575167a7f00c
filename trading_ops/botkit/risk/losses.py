"""What is lost, since when, and when it is too much: pure, and all that must outlive the process.

The bot's *result* in a currency is what its own trades have brought since its records began: what
was realized, after fees, and what selling everything at the last price would add. The account may
hold more than the bot's; deposits, withdrawals and other coins are no result.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from trading_ops.botkit.orders.order import Position
from trading_ops.botkit.risk.limits import ZERO, quote_of

STEPS = 100
"""A new highest result is kept when it is a hundredth of the drawdown limit above the kept one."""


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A trading day, and the result with which it began."""

    name: str
    """Its date, as 2026-11-21: later days sort later."""

    first: Decimal


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A loss that a person has accepted by lifting the hold."""

    amount: Decimal
    day: str
    """The trading day on which it was."""


class Remembered(msgspec.Struct, kw_only=True):
    """What a restart must not reset; kept in the records as one fact."""

    days: dict[str, Day] = {}
    """By currency."""

    highest: dict[str, Decimal] = {}
    """By currency; never below zero, with which every bot begins."""

    accepted: dict[str, Accepted] = {}
    """By the hold's id."""

    lifts: dict[str, float] = {}
    """By the hold's id, when it was last lifted, as far as that was taken into account."""


def trading_day(at: float, *, zone: str, start: str) -> str:
    """Return the name of the trading day of a moment.

    Args:
        at: seconds since the epoch.
        zone: in which the day is.
        start: when it begins there, HH:MM. Earlier hours belong to the day before.
    """
    hours, _, minutes = start.partition(":")
    local = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return (local - timedelta(hours=int(hours), minutes=int(minutes))).date().isoformat()


def result_of(
    positions: Mapping[str, Position], prices: Mapping[str, Decimal], currency: str
) -> Decimal | None:
    """Return the bot's result in a currency; None: something is held that never had a price."""
    result = ZERO
    for symbol, held in positions.items():
        if quote_of(symbol) != currency:
            continue
        result += held.realized
        if held.quantity and symbol not in prices:
            return None
        if held.quantity:
            result += held.unrealized(prices[symbol])
    return result


def begin_day(memory: Remembered, currency: str, day: str, result: Decimal) -> bool:
    """Begin a new trading day with this result; say whether it was one.

    A clock that was set back begins none: the later day goes on.
    """
    known = memory.days.get(currency)
    if known is not None and day <= known.name:
        return False
    memory.days[currency] = Day(name=day, first=result)
    return True


def raise_highest(memory: Remembered, currency: str, result: Decimal, limit: Decimal) -> bool:
    """Note a new highest result; say whether it is worth keeping."""
    known = memory.highest.get(currency, ZERO)
    if result <= known + limit / STEPS:
        return False
    memory.highest[currency] = result
    return True


def daily_loss(memory: Remembered, currency: str, result: Decimal) -> Decimal:
    """Return what was lost since the day began; a profit is zero."""
    day = memory.days.get(currency)
    return ZERO if day is None else max(ZERO, day.first - result)


def drawdown(memory: Remembered, currency: str, result: Decimal) -> Decimal:
    """Return how far the result is below its highest."""
    return max(ZERO, memory.highest.get(currency, ZERO) - result)


def threshold(limit: Decimal, accepted: Decimal | None, again_percent: Decimal) -> Decimal:
    """Return the loss at which the bot is held: the limit, or more where a person accepted more."""
    if accepted is None:
        return limit
    return max(limit, accepted + limit * again_percent / 100)
