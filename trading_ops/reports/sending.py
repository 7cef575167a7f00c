"""Renders and sends reports with the time zone and the templates of notify.yml."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from trading_ops import clock
from trading_ops.capacity.plan import Level
from trading_ops.capacity.read import Capacity
from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.message import Message, MessageKind, Severity
from trading_ops.domain.report import Period, Report, default_day, span_of
from trading_ops.errors import RequestRefused
from trading_ops.instrument.heap import trim_heap
from trading_ops.notify.config import load_notify
from trading_ops.notify.outbox import Outbox, renderer_of
from trading_ops.notify.rendering import Rendered, Renderer
from trading_ops.reports.summary import make_report
from trading_ops.store.reader import Reader

DUE = frozenset({Level.WARNING, Level.CRITICAL})

Span = tuple[datetime, datetime]
LONGEST = timedelta(days=93)
EARLIEST = date(2000, 1, 1)
"""No data is older, and earlier dates have no previous period."""


@dataclass(frozen=True, kw_only=True)
class ReportSender:
    """Creates reports, and passes them to the outbox."""

    prometheus: Prometheus
    reader: Reader
    outbox: Outbox
    bots: tuple[str, ...]
    """Names of the registered bots."""

    capacity: Capacity

    async def show(
        self, period: Period, day: date | None, span: Span | None = None
    ) -> tuple[Report, Rendered]:
        """Return the report on the period that contains a day, as values and as text.

        Args:
            period: kind of period.
            day: in the time zone of notify.yml; None: today, or yesterday for longer periods.
            span: the start and end, instead of a day's period.

        Raises:
            RequestRefused: there is no report for the day.
            ConfigError: notify.yml or capacity.yml is invalid.
            StoreError: the store did not answer.
        """
        report, renderer = await self._create(period, day, span)
        return report, await asyncio.to_thread(renderer.message, message_of(report))

    async def send(self, period: Period, day: date | None, span: Span | None = None) -> list[str]:
        """Send the report, once per channel and span; return the channels that did not have it.

        Args:
            period: as for `show`.
            day: as for `show`.
            span: as for `show`.

        Raises:
            RequestRefused: messages are off, no route accepts reports, or the day has no report.
            ConfigError: notify.yml or capacity.yml is invalid.
            StoreError: the store did not answer.
        """
        report, _ = await self._create(period, day, span)
        return await self.outbox.enqueue(message_of(report))

    async def _create(
        self, period: Period, day: date | None, span: Span | None
    ) -> tuple[Report, Renderer]:
        path = self.outbox.config_path
        zone, renderer = await asyncio.to_thread(_zone, path)
        now = clock.now()
        since, until = span or _span(period, day, zone, now)
        possible = since.date() >= EARLIEST and since < until <= now
        if not possible or until - since > LONGEST:
            raise RequestRefused(
                f"no report from {since.isoformat()} to {until.isoformat()}: choose a start from "
                f"{EARLIEST}, an end that is not in the future, and at most {LONGEST.days} days"
            )
        report = await make_report(
            self.prometheus,
            self.reader,
            bots=self.bots,
            period=period,
            since=since.astimezone(UTC),
            until=until.astimezone(UTC),
        )
        if period is Period.QUARTERLY:
            plan = await self.capacity.plan(now=now)
            due = tuple(
                resource.recommendation for resource in plan.resources if resource.level in DUE
            )
            report = replace(report, capacity=due)
        await asyncio.to_thread(trim_heap)  # a report reads megabytes of series
        return report, renderer


def message_of(report: Report) -> Message:
    """Return a report as a message, with its span as key, so that it is sent once.

    A report on a period that has not ended is another one in each minute.
    """
    until = report.until.isoformat(timespec="minutes")
    return Message(
        key=f"report:{report.period}:{report.since.isoformat()}:{until}",
        kind=MessageKind.REPORT,
        severity=Severity.INFO,
        bot=None,
        at=report.until,
        subject=f"{report.period.capitalize()} report: {_headline(report)}",
        facts={"report": report},
    )


def _span(period: Period, day: date | None, zone: ZoneInfo, now: datetime) -> Span:
    """Return the span of a day's period, up to now.

    Raises:
        RequestRefused: there is no report for the day.
    """
    today = now.astimezone(zone).date()
    day = day or default_day(period, today)
    if not EARLIEST <= day <= today:
        raise RequestRefused(f"no report for {day}: choose a day from {EARLIEST} to today")
    since, end = span_of(period, day, zone)
    return since, min(end.astimezone(UTC), now)


def _headline(report: Report) -> str:
    results = ", ".join(f"{amount:+z,.2f} {currency}" for currency, amount in report.results)
    incidents = report.response.incidents
    count = "no incidents" if not incidents else f"{incidents} incident{'s'[: incidents > 1]}"
    still = f", {len(report.open)} open" if report.open else ""
    return f"{results or 'result not measured'}, {count}{still}"


def _zone(path: Path) -> tuple[ZoneInfo, Renderer]:
    config = load_notify(path)
    if config is None:
        return ZoneInfo("UTC"), Renderer(zone=ZoneInfo("UTC"))
    return config.zone, renderer_of(config, path)
