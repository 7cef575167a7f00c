"""A report on a day, a week, a month or a quarter, and its period.

None means not measured, never 0.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class Period(StrEnum):
    """The period of a report."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"


FINDING_KINDS = ("database_report", "security_report")
"""The jobs that report findings; each of their reports is an event of this kind."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One change that a report recommends."""

    topic: str
    subject: str
    text: str
    """A sentence with figures and what to do."""

    fails: bool = False
    """Whether it cannot wait: the job that found it fails, and its alert fires."""


@dataclass(frozen=True, kw_only=True)
class BotFigures:
    """One bot in one currency."""

    bot: str
    currency: str
    result: float | None
    """Realized profit in the period, after fees."""

    unrealized: float | None
    equity: float | None
    exposure: float | None
    open_positions: float | None
    worst_daily_loss: float | None
    orders_filled: float | None
    trades_closed: float | None
    """Freqtrade only; other bots count orders only."""

    win_ratio: float | None


@dataclass(frozen=True, kw_only=True)
class TradeFigures:
    """One bot's trades in one currency, from its events."""

    bot: str
    currency: str
    trades: int
    closed: int
    """Trades that realized a profit or loss."""

    win_ratio: float | None
    """Win rate of closed trades; None: no closed trades."""

    profit: float | None
    profit_factor: float | None
    """Profit factor: profits divided by losses; None: no losses."""

    fees: float | None
    """None: no trade reported a fee. The same applies to slippage."""

    slippage: float | None


@dataclass(frozen=True, kw_only=True)
class TradeLine:
    """One trade that realized a profit or loss."""

    at: datetime
    bot: str
    symbol: str
    currency: str
    profit: float
    fee: float | None


@dataclass(frozen=True, kw_only=True)
class ReportedPosition:
    """One open position, in units of the symbol's base currency; negative: short."""

    bot: str
    symbol: str
    quantity: float
    unrealized: float | None
    """At the price of the report's end, in units of `currency`; None: not measured."""

    currency: str
    """The symbol's quote currency; empty if the symbol does not name one."""


@dataclass(frozen=True, kw_only=True)
class WatchedSymbol:
    """The last signal of a bot for a symbol."""

    bot: str
    symbol: str
    strategy: str
    signal: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class LimitUse:
    """Maximum usage of a risk limit in the period; 1: reached."""

    bot: str
    limit: str
    ratio: float


@dataclass(frozen=True, kw_only=True)
class IncidentLine:
    """One incident opened in the period."""

    id: str
    alert: str
    target: str | None
    opened_at: datetime
    seconds: float | None
    """Time until it was closed; None: open."""

    escalated: bool
    actions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ResponseFigures:
    """Response to the incidents of a period."""

    incidents: int
    remediated: int
    """Closed after a verified action, without escalation."""

    escalated: int
    mtta_seconds: float | None
    mttr_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A named ratio: remaining error budget or free disk."""

    name: str
    ratio: float


@dataclass(frozen=True, kw_only=True)
class ServiceLevel:
    """One objective of one bot over the period; ratios of what was measured, 1: all."""

    bot: str
    slo: str
    objective: float
    ratio: float | None
    """Good events; None: not measured, or no event."""

    budget: float
    """Events that may be bad."""

    spent: float | None
    """Share of the budget; above 1: more than there was."""

    left: float | None
    """The rest of it; negative: overspent."""

    measured: float
    """Share of the period with samples. The rest is neither good nor bad."""


@dataclass(frozen=True, kw_only=True)
class BackupFigures:
    """The backups that are kept when the report is made."""

    kept: int
    damaged: int
    bytes: int
    recoverable_to: datetime | None
    """All data committed before this time can be restored; None: no undamaged backup."""

    restore_tested_at: datetime | None
    restore_seconds: float | None
    """Duration of the last restore test."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole report."""

    period: Period
    since: datetime
    until: datetime
    bots: tuple[BotFigures, ...]
    trades: tuple[TradeFigures, ...]
    results: tuple[tuple[str, float], ...]
    """PnL by currency, of bots with a measured result."""

    limits: tuple[LimitUse, ...]
    response: ResponseFigures
    previous: ResponseFigures | None
    """Incident response in the previous period; None in a daily report."""

    by_alert: tuple[tuple[str, int], ...]
    incidents: tuple[IncidentLine, ...]
    """The newest."""

    open: tuple[str, ...]
    """Open items at the time of the report."""

    budgets: tuple[Ratio, ...]
    levels: tuple[ServiceLevel, ...]
    """Only in a monthly or quarterly report."""

    level_queries: dict[str, str]
    """PromQL of `levels`, evaluated at `until`."""

    disks: tuple[Ratio, ...]
    backups: BackupFigures
    missing: tuple[str, ...]
    """Missing data."""

    findings: tuple[Finding, ...] = ()
    """Findings of the newest reports on databases and security."""

    closed_trades: tuple[TradeLine, ...] = ()
    """The newest ones of a day, oldest first."""

    positions: tuple[ReportedPosition, ...] = ()
    watch_list: tuple[WatchedSymbol, ...] = ()
    """Only in a daily report: the symbols with a signal, newest first."""

    previous_results: tuple[tuple[str, float], ...] = ()
    """PnL by currency of the previous period; empty in a daily report."""

    suggestions: tuple[str, ...] = ()
    """Recommended tuning, from the incidents of a week or longer."""

    capacity: tuple[str, ...] = ()
    """Of a quarter: recommendations for resources that will not last, when the report is made."""


def span_of(period: Period, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the start and end of the period of a day."""
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
    """Return the default day of a report.

    Today for a daily report; yesterday for others, so that the first day of a week selects the
    previous week.
    """
    return today if period is Period.DAILY else today - timedelta(days=1)


def _months_later(first: date, months: int) -> date:
    number = first.year * 12 + first.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)
