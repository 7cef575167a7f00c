"""Maintenance jobs for our PostgreSQL database, one statement at a time.

The locks of each statement do not block requests or intake, and it gives up after three seconds if
it cannot get them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from trading_ops import clock
from trading_ops.domain.job import JobOutcome
from trading_ops.jobs.job import Context, Plan, Result, Step
from trading_ops.store import Connection, care, dialects
from trading_ops.store.care import Need

SQLITE = "the store is in SQLite"
END_SECONDS = 10.0
"""Time for the server to end a cancelled statement."""


@dataclass(frozen=True, kw_only=True)
class DatabaseCare:
    """Runs the maintenance statements that a check of the database finds necessary."""

    check: Callable[[Connection], list[Need]]
    nothing: str

    async def plan(self, context: Context) -> Plan:
        """Return each statement with its reason, or why it cannot run now."""
        needs, why_not = await context.reader.read(self._needs)
        steps = (Step(one.what, one.reason, f"{one.size / 1e6:.1f} MB") for one in needs or ())
        return Plan(tuple(steps), refused=why_not)

    async def run(self, context: Context) -> Result:
        """Run the statements; cancel the current one when the job is cancelled."""
        needs, why_not = await context.reader.read(self._needs)
        if not needs:
            return Result(JobOutcome.NOTHING_TO_DO, SQLITE if needs is None else self.nothing)
        if why_not:
            return Result(JobOutcome.REFUSED, why_not)
        work = care.Work(context.settings.database_url, needs, context.timeout)
        task = asyncio.create_task(asyncio.to_thread(work.carry_out))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.to_thread(work.stop)
            await asyncio.wait({task}, timeout=END_SECONDS)
            raise
        return Result(JobOutcome.DONE, "; ".join(f"{one.what}: {one.reason}" for one in needs))

    def _needs(self, connection: Connection) -> tuple[list[Need] | None, str]:
        """Return the needed statements, and why they cannot run now; None: no PostgreSQL."""
        if not dialects.is_postgresql(connection):
            return None, ""
        needs = self.check(connection)
        return needs, care.obstacle(connection, needs, clock.now()) if needs else ""


VACUUM = DatabaseCare(check=care.tables_to_vacuum, nothing="no table has many dead rows")
REINDEX = DatabaseCare(check=care.indexes_to_rebuild, nothing="every index is valid")
