"""Creates reports from Prometheus and the store, without counters of its own."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.approval import ApprovalState
from trading_ops.domain.backup import Backup
from trading_ops.domain.bot_event import BotEvent, BotEventKind
from trading_ops.domain.report import (
    FINDING_KINDS,
    BackupFigures,
    BotFigures,
    Finding,
    IncidentLine,
    LimitUse,
    Period,
    Ratio,
    Report,
    ReportedPosition,
    ResponseFigures,
    ServiceLevel,
)
from trading_ops.reports.budgets import queries, read_levels
from trading_ops.reports.figures import Figures, read_figures
from trading_ops.reports.recovery_times import AlertTimes, recovery_times
from trading_ops.reports.trades import closed_trades, trade_figures, watch_list
from trading_ops.reports.tuning import suggestions
from trading_ops.store import (
    Connection,
    approvals,
    attempts,
    backups,
    bot_events,
    holds,
    maintenance,
    search,
)
from trading_ops.store.reader import Reader
from trading_ops.store.search import TimeRange

SHOWN = 30
"""Maximum incidents and open items that a report lists."""

TRADES_READ = 50_000
"""Maximum trades, the newest of the period. If there are more, the report is marked as
incomplete."""

LEVELS = frozenset({Period.MONTHLY, Period.QUARTERLY})
"""Periods whose reports list objectives: budgets are monthly."""


async def make_report(
    prometheus: Prometheus,
    reader: Reader,
    *,
    bots: Iterable[str],
    period: Period,
    since: datetime,
    until: datetime,
) -> Report:
    """Return the report on a period.

    Args:
        prometheus: with the metrics of the period.
        reader: of the store.
        bots: names of the registered bots; the report lists the ones without data.
        period: kind of period.
        since: start of the period.
        until: end of the period.

    Raises:
        StoreError: the store did not answer. Without Prometheus, the report lists what is missing.
    """
    figures = await read_figures(prometheus, since=since, until=until)
    stored = await reader.read(partial(_read, period=period, since=since, until=until))
    span = TimeRange(since=since, until=until)
    trades = await reader.read(partial(_reported, kind=BotEventKind.TRADE, span=span))
    daily = period is Period.DAILY
    signals: list[BotEvent] = []
    before: dict[str, Figures | None] = {"result": None}
    if daily:
        signals = await reader.read(partial(_reported, kind=BotEventKind.SIGNAL, span=span))
    else:
        earlier = since - (until - since)
        before = await read_figures(prometheus, since=earlier, until=since, only=before)
    levels: tuple[ServiceLevel, ...] | None = ()
    if period in LEVELS:
        levels = await read_levels(prometheus, bots, since=since, until=until)
    lines = _bots(figures)
    return Report(
        period=period,
        since=since,
        until=until,
        bots=lines,
        trades=trade_figures(trades),
        closed_trades=closed_trades(trades) if daily else (),
        positions=tuple(_positions(figures)),
        watch_list=watch_list(signals),
        results=_results(figures["result"]),
        previous_results=_results(before["result"]),
        limits=tuple(
            LimitUse(bot=bot, limit=limit, ratio=ratio)
            for (bot, limit), ratio in sorted((figures["limits"] or {}).items())
        ),
        budgets=_ratios(figures["budgets"]),
        levels=levels or (),
        level_queries=queries(since=since, until=until) if period in LEVELS else {},
        disks=_ratios(figures["disks"]),
        missing=(
            *_missing(figures),
            *(() if levels is not None else ("service level objectives",)),
            *_unread(len(trades)),
        ),
        **stored,
    )


def _positions(figures: dict[str, Figures | None]) -> Iterator[ReportedPosition]:
    profits = figures["position_profits"] or {}
    for key, quantity in sorted((figures["positions"] or {}).items()):
        bot, symbol = key
        # Freqtrade appends the settlement currency of a future: BTC/USDT:USDT.
        currency = symbol.partition("/")[2].partition(":")[0]
        yield ReportedPosition(
            bot=bot,
            symbol=symbol,
            quantity=quantity,
            unrealized=profits.get(key),
            currency=currency,
        )


def _results(figures: Figures | None) -> tuple[tuple[str, float], ...]:
    found: dict[str, float] = defaultdict(float)
    for (_, currency), result in (figures or {}).items():
        found[currency] += result
    return tuple(sorted(found.items()))


def _reported(connection: Connection, *, kind: BotEventKind, span: TimeRange) -> list[BotEvent]:
    """Return the newest events of a kind, newest first."""
    filters = {"kind": kind.value}
    found = bot_events.search(connection, filters=filters, span=span, limit=TRADES_READ)
    return [stored.event for stored in found]


def _unread(trades: int) -> list[str]:
    return [f"trades before the newest {TRADES_READ:,}"] if trades == TRADES_READ else []


def _missing(figures: dict[str, Figures | None]) -> list[str]:
    unanswered = [name.replace("_", " ") for name, found in figures.items() if found is None]
    if len(unanswered) == len(figures):
        return ["all values from Prometheus: it did not answer"]
    return unanswered


def _bots(figures: dict[str, Figures | None]) -> tuple[BotFigures, ...]:
    """Return a line for each bot and currency, or one without currency."""
    by_currency = ("result", "unrealized", "equity", "exposure", "worst_daily_loss")
    by_bot = ("open_positions", "orders_filled", "trades_closed")
    keys = {key for name in by_currency for key in figures[name] or {}}
    with_money = {bot for bot, _ in keys}
    others = {key[0] for name in by_bot for key in figures[name] or {}} - with_money
    found = []
    for bot, currency in sorted(keys | {(bot, "") for bot in others}):
        closed = (figures["trades_closed"] or {}).get((bot,))
        won = (figures["trades_won"] or {}).get((bot,))
        found.append(
            BotFigures(
                bot=bot,
                currency=currency,
                **{name: (figures[name] or {}).get((bot, currency)) for name in by_currency},
                **{name: (figures[name] or {}).get((bot,)) for name in by_bot},
                win_ratio=won / closed if closed and won is not None else None,
            )
        )
    return tuple(found)


def _ratios(figures: Figures | None) -> tuple[Ratio, ...]:
    return tuple(
        Ratio(name=" ".join(key), ratio=ratio) for key, ratio in sorted((figures or {}).items())
    )


def _read(
    connection: Connection, *, period: Period, since: datetime, until: datetime
) -> dict[str, Any]:
    """Return the fields of a report that come from the store."""
    times = recovery_times(connection, since=since, until=until)
    previous: ResponseFigures | None = None
    tuning: tuple[str, ...] = ()
    if period is not Period.DAILY:
        before = recovery_times(connection, since=since - (until - since), until=since)
        previous = _response(before.total)
        tuning = suggestions(search.response_times(connection, since=since, until=until))
    span = TimeRange(since=since, until=until)
    return {
        "response": _response(times.total),
        "previous": previous,
        "suggestions": tuning,
        "by_alert": tuple(
            sorted(
                ((alert.alert, alert.incidents) for alert in times.alerts),
                key=lambda counted: -counted[1],
            )
        ),
        "incidents": tuple(
            IncidentLine(
                id=incident.id[:8],
                alert=incident.alert,
                target=incident.target,
                opened_at=incident.opened_at,
                seconds=(incident.closed_at - incident.opened_at).total_seconds()
                if incident.closed_at
                else None,
                escalated=incident.escalated_at is not None,
                actions=tuple(
                    f"{attempt.action} {attempt.state}"
                    for attempt in attempts.of_incident(connection, incident.id)
                ),
            )
            for incident in search.find_incidents(connection, span=span, limit=SHOWN)
        ),
        "open": tuple(_open(connection, until)),
        "backups": _backups(backups.read(connection)),
        "findings": tuple(_findings(connection)),
    }


class _Findings(msgspec.Struct):
    findings: list[Finding] = []


def _findings(connection: Connection) -> Iterator[Finding]:
    """Yield what the newest report of each such job found."""
    for kind in FINDING_KINDS:
        for event in search.find_events(connection, kind=kind, span=TimeRange(), limit=1):
            yield from msgspec.json.decode(event.after or "{}", type=_Findings).findings


def _backups(found: Sequence[Backup]) -> BackupFigures:
    sound = [backup for backup in found if not backup.problem]
    tested = max(
        (backup for backup in sound if backup.restore_tested_at), key=_tested_at, default=None
    )
    took = tested.restore_milliseconds if tested else None
    return BackupFigures(
        kept=len(found),
        damaged=len(found) - len(sound),
        bytes=sum(backup.bytes for backup in found),
        recoverable_to=max((backup.recoverable_to for backup in sound), default=None),
        restore_tested_at=tested.restore_tested_at if tested else None,
        restore_seconds=took / 1000 if took is not None else None,
    )


def _tested_at(backup: Backup) -> datetime:
    return backup.restore_tested_at or backup.created_at


def _response(total: AlertTimes) -> ResponseFigures:
    return ResponseFigures(
        incidents=total.incidents,
        remediated=total.remediated,
        escalated=total.escalated,
        mtta_seconds=total.first_response.mean_seconds,
        mttr_seconds=total.close.mean_seconds,
    )


def _open(connection: Connection, now: datetime) -> list[str]:
    found = [
        f"incident {incident.alert}{f' on {incident.target}' if incident.target else ''}"
        f" ({incident.id[:8]})"
        for incident in search.oldest_open(connection, limit=SHOWN)
    ]
    found += [
        f"{hold.target} is {hold.state} by {hold.owner}: {hold.reason}"
        for hold in holds.active(connection)
    ]
    if (pause := maintenance.current_pause(connection, now=now)) is not None:
        found.append(f"automation is paused by {pause.owner}: {pause.reason}")
    found += [
        f"approval of {approval.action} on {approval.target}, requested by {approval.requested_by}"
        for approval in approvals.search(connection, state=ApprovalState.PENDING, limit=SHOWN)
        if approval.state_at(now) is ApprovalState.PENDING
    ]
    found += [
        f"maintenance of {window.target or 'the whole fleet'} by {window.owner}: {window.reason}"
        for window in maintenance.current(connection, now=now)
    ]
    return found[:SHOWN]
