"""The jobs that send the reports.

A run is about the time up to the job's last due time, however late it runs: after an outage, a
pause, or by hand. Daily reports follow each other without a gap: one begins where the last one
that was sent ended.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from trading_ops import clock
from trading_ops.domain.job import JobOutcome
from trading_ops.domain.message import MessageKind
from trading_ops.domain.report import Period, default_day
from trading_ops.jobs.job import Context, JobResult, Plan, PlannedStep
from trading_ops.jobs.schedule import AtSession, TradingSession, last_due
from trading_ops.jobs.work.commands import CommandJob
from trading_ops.notify.config import NotifyConfig, load_notify
from trading_ops.store import jobs

OFF = "messages are off: notify.yml does not exist"
NO_ROUTE = "no route of notify.yml accepts reports"
SENT = "the report was sent already"

LONGEST = timedelta(days=7)
"""A daily report after a longer time without one covers this."""

MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class SendReport:
    """Sends the report for one kind of period, once per channel and period."""

    period: Period

    async def plan(self, context: Context) -> Plan:
        """Return the report as the only step, unless there is nothing to send."""
        which = await self._which(context)
        if isinstance(which, JobResult):
            return Plan()
        what = " ".join((f"send it: trading-ops report {self.period}", *which, "--send"))
        return Plan((PlannedStep(what, "a route in notify.yml accepts it"),))

    async def run(self, context: Context) -> JobResult:
        """Send it through the outbox."""
        which = await self._which(context)
        if isinstance(which, JobResult):
            return which
        command = CommandJob(
            arguments=("report", self.period.value, *which, "--send", "--output", "json"),
            what="",
            reason="",
        )
        return await command.run(context)

    async def _which(self, context: Context) -> tuple[str, ...] | JobResult:
        """Return the options of `trading-ops report`, or why nothing is sent.

        Raises:
            ConfigError: notify.yml is invalid.
        """
        config = await asyncio.to_thread(load_notify, context.settings.notify_config)
        if config is None:
            return JobResult(JobOutcome.NOTHING_TO_DO, OFF)
        if not any(route.accepts(MessageKind.REPORT) for route in config.routes):
            return JobResult(JobOutcome.NOTHING_TO_DO, NO_ROUTE)
        sessions = await self._sessions(context)
        until = last_due(context.schedule, clock.now(), sessions)
        if until is None:
            return ()
        if self.period is not Period.DAILY:
            return self._calendar(until, config)
        since = await self._since(context, until, sessions)
        if since is None:
            return JobResult(JobOutcome.NOTHING_TO_DO, SENT)
        return "--span", since.isoformat(timespec="seconds"), until.isoformat(timespec="seconds")

    def _calendar(self, due: datetime, config: NotifyConfig) -> tuple[str, str]:
        day = default_day(self.period, due.astimezone(config.zone).date())
        return "--date", day.isoformat()

    async def _sessions(self, context: Context) -> tuple[TradingSession, ...]:
        if not isinstance(context.schedule, AtSession):
            return ()
        read = partial(jobs.sessions_of, calendar=context.schedule.calendar)
        return tuple(TradingSession(*session) for session in await context.reader.read(read))

    async def _since(
        self, context: Context, until: datetime, sessions: tuple[TradingSession, ...]
    ) -> datetime | None:
        """Return the end of the last report that was sent; None: it is `until`."""
        name = f"report_{self.period}"
        last = await context.reader.read(partial(jobs.last_done, job=name))
        sent = None if last is None else last_due(context.schedule, last.started_at, sessions)
        if sent == until:
            return None
        before = sent or last_due(context.schedule, until - MOMENT, sessions)
        return max(before or until - timedelta(days=1), until - LONGEST)


DAILY, WEEKLY, MONTHLY, QUARTERLY = (SendReport(period=period) for period in Period)
