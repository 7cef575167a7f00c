"""A compliance report: who did what, approvals, restore tests, and the objectives of each month.

Everything is read from the audit log and from the recorded series of Prometheus. Events that
retention has archived are not in the database, and not counted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.report import ServiceLevel
from trading_ops.notify.rendering import MISSING, duration, exact_percent, percent
from trading_ops.reports.budgets import read_levels
from trading_ops.reports.recovery_times import AlertTimes, recovery_times
from trading_ops.store import Connection, search
from trading_ops.store.events import TimelineEvent
from trading_ops.store.reader import Reader
from trading_ops.store.search import ActorEventCount, TimeRange

APPROVALS = ("approval_requested", "approved", "denied", "approval_expired", "approval_used")
RESTORE_TESTS = ("backup_restore_tested", "backup_damaged")
LISTED = 10_000
"""Limit of events listed of one kind; a report that reaches it says so."""


@dataclass(frozen=True, kw_only=True)
class Month:
    """The objectives of each bot in one month, or in the part of it that is in the period."""

    since: datetime
    until: datetime
    levels: tuple[ServiceLevel, ...] | None
    """None: Prometheus did not answer."""


@dataclass(frozen=True, kw_only=True)
class Compliance:
    """The whole report."""

    since: datetime
    until: datetime
    done: tuple[ActorEventCount, ...]
    approvals: tuple[TimelineEvent, ...]
    restore_tests: tuple[TimelineEvent, ...]
    incidents: AlertTimes
    months: tuple[Month, ...]
    incomplete: tuple[str, ...]
    """Event kinds of which only the newest are listed."""


async def make_compliance(
    prometheus: Prometheus,
    reader: Reader,
    *,
    bots: Iterable[str],
    since: datetime,
    until: datetime,
) -> Compliance:
    """Return the report on a span.

    Raises:
        StoreError: the store did not answer. Without Prometheus, the months have no objectives.
    """
    names = tuple(bots)
    months = [
        Month(
            since=begin,
            until=end,
            levels=await read_levels(prometheus, names, since=begin, until=end),
        )
        for begin, end in months_of(since, until)
    ]
    return await reader.read(
        partial(_read, since=since, until=until, months=tuple(months)),
    )


def months_of(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the calendar months of a span; the first and the last may be parts of one."""
    begin = since
    while begin < until:
        first = begin.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        following = (first + timedelta(days=32)).replace(day=1)
        yield begin, min(following, until)
        begin = following


def _read(
    connection: Connection, *, since: datetime, until: datetime, months: tuple[Month, ...]
) -> Compliance:
    span = TimeRange(since=since, until=until)
    found = {
        kind: search.find_events(connection, kind=kind, span=span, limit=LISTED)
        for kind in (*APPROVALS, *RESTORE_TESTS)
    }
    return Compliance(
        since=since,
        until=until,
        done=tuple(search.count_by_actor(connection, span)),
        approvals=_in_order(found, APPROVALS),
        restore_tests=_in_order(found, RESTORE_TESTS),
        incidents=recovery_times(connection, since=since, until=until).total,
        months=months,
        incomplete=tuple(kind for kind, events in found.items() if len(events) == LISTED),
    )


def _in_order(
    found: dict[str, list[TimelineEvent]], kinds: Iterable[str]
) -> tuple[TimelineEvent, ...]:
    return tuple(
        sorted((event for kind in kinds for event in found[kind]), key=lambda event: event.seq)
    )


def lines_of(report: Compliance) -> Iterator[str]:
    """Yield the report as text; a dash means not measured."""
    yield f"Compliance report, {report.since:%Y-%m-%d} to {report.until:%Y-%m-%d %H:%M} UTC"
    yield ""
    yield "Who did what"
    for row in report.done:
        yield f"  {row.actor:<28} {row.kind:<28} {row.count:>8}"
    yield ""
    yield from _events("Approvals", report.approvals)
    yield from _events("Restore tests", report.restore_tests)
    total = report.incidents
    yield "Incidents"
    yield f"  {total.incidents} opened, {total.remediated} remediated, {total.escalated} escalated"
    mtta, mttr = total.first_response.mean_seconds, total.close.mean_seconds
    yield f"  MTTA {duration(mtta)}, MTTR {duration(mttr)}"
    for month in report.months:
        yield ""
        yield f"Service level objectives, {month.since:%Y-%m-%d} to {month.until:%Y-%m-%d %H:%M}"
        yield f"  {'':<36} objective    measured  budget spent      data"
        for level in month.levels or ():
            name = f"{level.bot} {level.slo}"
            yield (
                f"  {name:<36} {percent(level.objective):>9} {exact_percent(level.ratio):>11}"
                f" {percent(level.spent):>13} {percent(level.measured):>9}"
            )
        if not month.levels:
            yield f"  {MISSING} not measured: Prometheus did not answer or has no bot"
    for kind in report.incomplete:
        yield f"Incomplete: only the newest {LISTED:,} events {kind}"


def _events(title: str, events: Iterable[TimelineEvent]) -> Iterator[str]:
    yield title
    none = True
    for event in events:
        none = False
        details = " ".join(filter(None, (event.note, event.reason)))
        yield f"  {event.at:%Y-%m-%d %H:%M:%S}  {event.kind:<22} {event.actor:<20} {details}"
    if none:
        yield "  none"
    yield ""
