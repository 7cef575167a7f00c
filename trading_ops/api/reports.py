"""Reports on a day, a week, a month or a quarter: show and send."""

import datetime as dt
from typing import Any, Protocol

import msgspec

from trading_ops import logs
from trading_ops.api.auth import Identity
from trading_ops.api.requests import Moment, Person, not_found
from trading_ops.domain.report import Period, Report
from trading_ops.errors import RequestRefused

log = logs.get(__name__)


Span = tuple[dt.datetime, dt.datetime]


class Reporting(Protocol):
    """Builds and sends reports; implemented by `reports.sending`."""

    async def show(
        self, period: Period, day: dt.date | None, span: Span | None
    ) -> tuple[Report, Any]:
        """Return a report as values and as rendered text."""
        ...

    async def send(self, period: Period, day: dt.date | None, span: Span | None) -> list[str]:
        """Send a report; return the channels."""
        ...


class ReportQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A day of the period, or a span; default: today, for longer periods yesterday."""

    date: dt.date | None = None
    since: Moment | None = None
    until: Moment | None = None


class ReportRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A day of the period or a span, and the operator."""

    date: dt.date | None = None
    since: Moment | None = None
    until: Moment | None = None
    owner: Person | None = None


class ReportView(msgspec.Struct, kw_only=True):
    """A report as values and as rendered text."""

    report: Report
    subject: str
    text: str
    html: str


class ReportSent(msgspec.Struct, kw_only=True):
    """The channels it is sent to, without those that already had it."""

    channels: list[str]


class ReportRoutes:
    """Handlers of `reports`."""

    def __init__(self, reporting: Reporting) -> None:
        self._reporting = reporting

    async def show(self, period: str, query: ReportQuery) -> ReportView:
        """Return the daily, weekly, monthly or quarterly report."""
        report, rendered = await self._reporting.show(_period(period), query.date, _span(query))
        return ReportView(
            report=report, subject=rendered.subject, text=rendered.text, html=rendered.html
        )

    async def send(self, identity: Identity, period: str, body: ReportRequest) -> ReportSent:
        """Send the report by the routes of notify.yml, once per period and channel."""
        channels = await self._reporting.send(_period(period), body.date, _span(body))
        log.info("report_sent", period=period, by=identity.actor(body.owner), channels=channels)
        return ReportSent(channels=channels)


def _span(given: ReportQuery | ReportRequest) -> Span | None:
    """Return the requested span.

    Raises:
        RequestRefused: it has one end only, or there is a date as well.
    """
    if given.since is None and given.until is None:
        return None
    if given.since is None or given.until is None or given.date is not None:
        raise RequestRefused("a span needs `since` and `until`, and no `date`")
    return given.since, given.until


def _period(name: str) -> Period:
    if name not in set(Period):
        not_found(f"unknown report: use one of {', '.join(Period)}")
    return Period(name)
