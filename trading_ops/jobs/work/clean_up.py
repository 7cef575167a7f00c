"""The job that removes files that are no longer needed."""

import asyncio
from threading import Event

from trading_ops.backup.disk import size
from trading_ops.cleanup.carry_out import carry_out
from trading_ops.cleanup.rules import leftovers
from trading_ops.domain.job import JobOutcome
from trading_ops.jobs.job import Context, JobResult, Plan, PlannedStep


class CleanUp:
    """Cleans the host of the reconciler that runs it."""

    async def plan(self, context: Context) -> Plan:
        """Return a step for each file and folder."""
        found = await asyncio.to_thread(leftovers, context.settings)
        return Plan(
            tuple(
                PlannedStep(
                    f"remove {leftover.found.path}",
                    f"{leftover.kind}: {leftover.reason}",
                    size(leftover.found.bytes),
                )
                for leftover in found
            )
        )

    async def run(self, context: Context) -> JobResult:
        """Remove the files; the run fails if one could not be removed."""
        found = await asyncio.to_thread(leftovers, context.settings)
        stop = Event()
        try:
            done = await asyncio.to_thread(carry_out, context.settings, found, stop)
        finally:
            stop.set()  # a run that is cut off does not end its thread
        if done.failures:
            return JobResult(JobOutcome.FAILED, str(done))
        return JobResult(JobOutcome.DONE if done.counts else JobOutcome.NOTHING_TO_DO, str(done))


CLEAN_UP = CleanUp()
