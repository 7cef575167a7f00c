"""A report on a day, a week, a month or a quarter: values, and the span that it covers.

None is “not measured”, never 0.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class Period(StrEnum):
    """What a report covers."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"


@dataclass(frozen=True, kw_only=True)
class BotFigures:
    """One bot in one currency."""

    bot: str
    currency: str
    result: float | None
    """Realized profit in the span, after fees."""

    unrealized: float | None
    equity: float | None
    exposure: float | None
    open_positions: float | None
    worst_daily_loss: float | None
    orders_filled: float | None
    trades_closed: float | None
    """By Freqtrade; a bot without it counts orders only."""

    win_ratio: float | None


@dataclass(frozen=True, kw_only=True)
class TradeFigures:
    """One bot's trades in one currency, from the events that it reported."""

    bot: str
    currency: str
    trades: int
    closed: int
    """Those that realized a profit or a loss."""

    win_ratio: float | None
    """Of the closed ones; None: there was none."""

    profit: float | None
    profit_factor: float | None
    """Profits divided by losses; None: there was no loss."""

    fees: float | None
    """None: no trade reported a fee. The same applies to slippage."""

    slippage: float | None


@dataclass(frozen=True, kw_only=True)
class LimitUse:
    """The highest use of a risk limit in the span; 1: reached."""

    bot: str
    limit: str
    ratio: float


@dataclass(frozen=True, kw_only=True)
class IncidentLine:
    """One incident that was opened in the span."""

    id: str
    alert: str
    target: str | None
    opened_at: datetime
    seconds: float | None
    """Until it was closed; None: it is open."""

    escalated: bool
    actions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Response:
    """How the incidents of a span were answered."""

    incidents: int
    remediated: int
    """Closed after a verified action, without escalation."""

    escalated: int
    mtta_seconds: float | None
    mttr_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A named share: of an error budget or a disk that is left."""

    name: str
    ratio: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole report."""

    period: Period
    since: datetime
    until: datetime
    bots: tuple[BotFigures, ...]
    trades: tuple[TradeFigures, ...]
    results: tuple[tuple[str, float], ...]
    """By currency, of the bots whose result is measured."""

    limits: tuple[LimitUse, ...]
    response: Response
    previous: Response | None
    """Of the span before, as long; None in a daily report."""

    by_alert: tuple[tuple[str, int], ...]
    incidents: tuple[IncidentLine, ...]
    """The newest."""

    open: tuple[str, ...]
    """What is open at the time of the report."""

    budgets: tuple[Ratio, ...]
    disks: tuple[Ratio, ...]
    missing: tuple[str, ...]
    """What is not in the report though it should be."""


def span_of(period: Period, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the beginning and the end of the period that a day is in."""
    first = day
    if period is Period.WEEKLY:
        first = day - timedelta(days=day.weekday())
        last = first + timedelta(days=7)
    elif period is Period.MONTHLY:
        first = day.replace(day=1)
        last = _months_later(first, 1)
    elif period is Period.QUARTERLY:
        first = day.replace(month=day.month - (day.month - 1) % 3, day=1)
        last = _months_later(first, 3)
    else:
        last = first + timedelta(days=1)
    return datetime.combine(first, time(), zone), datetime.combine(last, time(), zone)


def default_day(period: Period, today: date) -> date:
    """Return the day whose period is meant without a date.

    Today's for a daily report; for others that of yesterday, so that on the first day of a week it
    is the week before.
    """
    return today if period is Period.DAILY else today - timedelta(days=1)


def _months_later(first: date, months: int) -> date:
    number = first.year * 12 + first.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)
