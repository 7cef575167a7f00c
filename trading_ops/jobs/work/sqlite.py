"""Maintenance job for our SQLite database."""

from functools import partial

from trading_ops.backup.durable import size
from trading_ops.domain.job import JobOutcome
from trading_ops.jobs.job import Context, Plan, Result, Step
from trading_ops.store import sqlite_care


class SqliteCare:
    """Updates statistics and releases free pages, through the writer like every other write."""

    async def plan(self, context: Context) -> Plan:
        """Return each needed step with its reason."""
        needs = await context.reader.read(sqlite_care.needs)
        return Plan(
            tuple(
                Step(need.what, need.reason, size(need.bytes) if need.bytes else "")
                for need in needs
            )
        )

    async def run(self, context: Context) -> Result:
        """Run the steps in short transactions; other writes continue in between."""
        needs = await context.reader.read(sqlite_care.needs)
        for need in needs:
            for done in range(0, need.times, sqlite_care.BATCH):
                times = min(sqlite_care.BATCH, need.times - done)
                await context.writer.run(partial(sqlite_care.carry_out, need=need, times=times))
        if not needs:
            return Result(JobOutcome.NOTHING_TO_DO, "statistics are recent, and few pages are free")
        return Result(JobOutcome.DONE, "; ".join(f"{need.what}: {need.reason}" for need in needs))


OPTIMIZE = SqliteCare()
