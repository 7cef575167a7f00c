"""A job that notes what a report would cover, and sends none."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from trading_ops.domain.job import JobOutcome
from trading_ops.jobs.job import Context, JobResult, Plan, load

NOTIFY = """\
version: 1
timezone: America/New_York
routes: [{name: all, kinds: [report], to: [mail]}]
"""
SPAN = re.compile(r"--span (\S+) (\S+)")
DAY = re.compile(r"--date (\S+)")


@dataclass
class Spans:
    """Plans the job of this name at each run."""

    name: str
    found: list[tuple[datetime, datetime]] = field(default_factory=list)
    days: list[str] = field(default_factory=list)
    outcome: JobOutcome = JobOutcome.DONE

    async def plan(self, context: Context) -> Plan:
        """Return the plan of the real job."""
        return await load(self.name).plan(context)

    async def run(self, context: Context) -> JobResult:
        """Note the span; a run without one had nothing to send."""
        steps = (await self.plan(context)).steps
        if not steps:
            return JobResult(JobOutcome.NOTHING_TO_DO)
        if self.outcome is JobOutcome.DONE:
            for since, until in SPAN.findall(steps[0].what):
                ends = (datetime.fromisoformat(since), datetime.fromisoformat(until))
                self.found.append((ends[0].astimezone(UTC), ends[1].astimezone(UTC)))
            self.days += DAY.findall(steps[0].what)
        return JobResult(self.outcome)
