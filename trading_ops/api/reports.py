"""Reports on a day, a week, a month or a quarter: show and send."""

import datetime as dt
from typing import Any, Protocol

import msgspec

from trading_ops import logs
from trading_ops.api.auth import Identity
from trading_ops.api.requests import Person, not_found
from trading_ops.domain.report import Period, Report

log = logs.get(__name__)


class Reporting(Protocol):
    """Builds and sends reports; implemented by `reports.sending`."""

    async def show(self, period: Period, day: dt.date | None) -> tuple[Report, Any]:
        """Return a report as values and as rendered text."""
        ...

    async def send(self, period: Period, day: dt.date | None) -> list[str]:
        """Send a report; return the channels."""
        ...


class ReportQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A day of the period; default: today, for longer periods yesterday."""

    date: dt.date | None = None


class ReportRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A day of the period, and the operator."""

    date: dt.date | None = None
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
        report, rendered = await self._reporting.show(_period(period), query.date)
        return ReportView(
            report=report, subject=rendered.subject, text=rendered.text, html=rendered.html
        )

    async def send(self, identity: Identity, period: str, body: ReportRequest) -> ReportSent:
        """Send the report by the routes of notify.yml, once per period and channel."""
        channels = await self._reporting.send(_period(period), body.date)
        log.info("report_sent", period=period, by=identity.actor(body.owner), channels=channels)
        return ReportSent(channels=channels)


def _period(name: str) -> Period:
    if name not in set(Period):
        not_found(f"unknown report: use one of {', '.join(Period)}")
    return Period(name)
