"""Daily loss and drawdown: pure functions, and the state that must survive a restart.

The bot's *result* in a currency is the profit and loss of its own trades since its records began:
realized, after fees, plus unrealized at the last price. Deposits, withdrawals and other assets on
the account do not count.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from trading_ops.botkit.orders.order import Position
from trading_ops.botkit.risk.limits import ZERO, quote_of

HIGH_STEPS = 100
"""A new highest result is stored once it exceeds the stored one by 1/100 of the drawdown limit."""


class TradingDay(msgspec.Struct, frozen=True, kw_only=True):
    """A trading day, and the result at its start."""

    name: str
    """Its date, such as 2026-11-21; later days sort later."""

    first: Decimal


class AcceptedLoss(msgspec.Struct, frozen=True, kw_only=True):
    """A loss that an operator accepted by releasing the hold."""

    amount: Decimal
    day: str
    """The trading day on which the hold was released."""


class LossState(msgspec.Struct, kw_only=True):
    """State that a restart must not reset; stored in the records as one fact."""

    days: dict[str, TradingDay] = {}
    """By currency."""

    highest: dict[str, Decimal] = {}
    """The highest result by currency; never below zero, the result of a new bot."""

    accepted: dict[str, AcceptedLoss] = {}
    """By hold id."""

    released: dict[str, float] = msgspec.field(default_factory=dict, name="lifts")
    """By hold id, the last release that was processed, in seconds since the epoch."""


def trading_day(at: float, *, zone: str, start: str) -> str:
    """Return the date of the trading day of a moment.

    Args:
        at: seconds since the epoch.
        zone: the time zone of the trading day.
        start: when the day starts in that zone, HH:MM; earlier hours belong to the previous day.
    """
    hours, _, minutes = start.partition(":")
    local = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return (local - timedelta(hours=int(hours), minutes=int(minutes))).date().isoformat()


def result_of(
    positions: Mapping[str, Position], prices: Mapping[str, Decimal], currency: str
) -> Decimal | None:
    """Return the bot's result in a currency; None if an open position has no price."""
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


def begin_day(state: LossState, currency: str, day: str, result: Decimal) -> bool:
    """Start a new trading day at this result; return whether a new one started.

    After the clock is set back, the later day continues.
    """
    known = state.days.get(currency)
    if known is not None and day <= known.name:
        return False
    state.days[currency] = TradingDay(name=day, first=result)
    return True


def update_highest(state: LossState, currency: str, result: Decimal, limit: Decimal) -> bool:
    """Update the highest result; return whether it changed.

    Args:
        state: updated in place.
        currency: of the result.
        result: the current one.
        limit: of the drawdown; increases below 1/100 of it are ignored, to save writes.
    """
    known = state.highest.get(currency, ZERO)
    if result <= known + limit / HIGH_STEPS:
        return False
    state.highest[currency] = result
    return True


def daily_loss(state: LossState, currency: str, result: Decimal) -> Decimal:
    """Return the loss since the trading day started; zero for a profit."""
    day = state.days.get(currency)
    return ZERO if day is None else max(ZERO, day.first - result)


def drawdown(state: LossState, currency: str, result: Decimal) -> Decimal:
    """Return how far the result is below its highest."""
    return max(ZERO, state.highest.get(currency, ZERO) - result)


def threshold(limit: Decimal, accepted: Decimal | None, again_percent: Decimal) -> Decimal:
    """Return the loss from which the bot is held: the limit, or more if an operator accepted more.

    Args:
        limit: the configured loss limit.
        accepted: the loss that was accepted, or None.
        again_percent: share of the limit that must be lost on top of the accepted loss.
    """
    if accepted is None:
        return limit
    return max(limit, accepted + limit * again_percent / 100)
