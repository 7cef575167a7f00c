"""The jobs that send the reports."""

import asyncio
from dataclasses import dataclass

from trading_ops.domain.job import JobOutcome
from trading_ops.domain.message import MessageKind
from trading_ops.domain.report import Period
from trading_ops.jobs.job import Context, JobResult, Plan, PlannedStep
from trading_ops.jobs.work.commands import CommandJob
from trading_ops.notify.config import load_notify

OFF = "messages are off: notify.yml does not exist"
NO_ROUTE = "no route of notify.yml accepts reports"


@dataclass(frozen=True, kw_only=True)
class SendReport:
    """Sends the report for one kind of period, once per channel and period."""

    period: Period

    async def plan(self, context: Context) -> Plan:
        """Return the report as the only step, unless no route accepts it."""
        if await self._unwanted(context):
            return Plan()
        return Plan(
            (PlannedStep(f"send the {self.period} report", "a route in notify.yml accepts it"),)
        )

    async def run(self, context: Context) -> JobResult:
        """Send it through the outbox."""
        if why := await self._unwanted(context):
            return JobResult(JobOutcome.NOTHING_TO_DO, why)
        command = CommandJob(
            arguments=("report", self.period.value, "--send", "--output", "json"),
            what="",
            reason="",
        )
        return await command.run(context)

    async def _unwanted(self, context: Context) -> str:
        """Return why it would not be sent; empty: it would.

        Raises:
            ConfigError: notify.yml is invalid.
        """
        config = await asyncio.to_thread(load_notify, context.settings.notify_config)
        if config is None:
            return OFF
        takes = (not route.kinds or MessageKind.REPORT in route.kinds for route in config.routes)
        return "" if any(takes) else NO_ROUTE


DAILY, WEEKLY, MONTHLY, QUARTERLY = (SendReport(period=period) for period in Period)
