"""The job that reports security problems of the reconciler's host."""

import msgspec

from trading_ops import clock
from trading_ops.domain.job import JobOutcome
from trading_ops.domain.report import FINDING_KINDS, Finding
from trading_ops.jobs.job import Context, JobResult, Plan, PlannedStep
from trading_ops.jobs.work import findings
from trading_ops.jobs.work.commands import execute, last_line, why

_, KIND = FINDING_KINDS
COMMAND = ("security", "--output", "json")


class SecurityReport:
    """Runs `trading-ops security` in a separate process and records its findings."""

    async def plan(self, context: Context) -> Plan:
        """Return the parts of the report."""
        database = context.settings.vulnerability_database or "no database"
        return Plan(
            (
                PlannedStep("look for secrets", "every user may open them, or they were copied"),
                PlannedStep("look for certificates", "they expire within 30 days"),
                PlannedStep("look for vulnerable and outdated packages", f"by {database} and pip"),
            )
        )

    async def run(self, context: Context) -> JobResult:
        """Make the report; it fails on urgent findings."""
        code, output, errors = await execute(context, COMMAND)
        try:
            found = msgspec.json.decode(output, type=list[Finding])
        except msgspec.MsgspecError:
            return JobResult(JobOutcome.FAILED, why(code, last_line(output + errors)))
        return await findings.record(context, KIND, found, now=clock.now(), facts={})


SECURITY_REPORT = SecurityReport()
