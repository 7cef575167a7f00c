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
        needs, why_not, blocked = await context.reader.read(self._needs)
        steps = (Step(need.what, need.reason, f"{need.size / 1e6:.1f} MB") for need in needs or ())
        return Plan(tuple(steps), refused=why_not or (blocked if not needs else ""))

    async def run(self, context: Context) -> Result:
        """Run the statements; cancel the current one when the job is cancelled."""
        needs, why_not, blocked = await context.reader.read(self._needs)
        if not needs and blocked:
            return Result(JobOutcome.REFUSED, blocked)
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
        done = [f"{need.what}: {need.reason}" for need in needs]
        return Result(JobOutcome.DONE, "; ".join([*done, blocked] if blocked else done))

    def _needs(self, connection: Connection) -> tuple[list[Need] | None, str, str]:
        """Return the needed statements, why they cannot run now, and which ones lack space.

        None: no PostgreSQL.
        """
        if not dialects.is_postgresql(connection):
            return None, "", ""
        needs = self.check(connection)
        blocked = ""
        if any(need.space for need in needs):
            needs, blocked = care.without_space(needs, care.free_space(connection))
        why_not = care.obstacle(connection, needs, clock.now()) if needs else ""
        return needs, why_not, blocked


VACUUM = DatabaseCare(check=care.tables_to_vacuum, nothing="no table has many dead rows")
REINDEX = DatabaseCare(check=care.indexes_to_rebuild, nothing="no index is invalid or bloated")
