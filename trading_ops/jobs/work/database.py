"""The jobs that care for our PostgreSQL database, one statement at a time.

Each statement takes locks that orders and intake do not wait for, and gives up after three seconds
when it does not get them.
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
"""For the server to end a statement that was cancelled."""


@dataclass(frozen=True, kw_only=True)
class DatabaseCare:
    """Carries out what one kind of look at the database finds."""

    look: Callable[[Connection], list[Need]]
    nothing: str

    async def plan(self, context: Context) -> Plan:
        """Return each statement with its reason, or what stands in the way."""
        needs, why_not = await context.reader.read(self._look)
        steps = (Step(one.what, one.reason, f"{one.size / 1e6:.1f} MB") for one in needs or ())
        return Plan(tuple(steps), refused=why_not)

    async def run(self, context: Context) -> Result:
        """Run the statements; end the one under way when the job is cut off."""
        needs, why_not = await context.reader.read(self._look)
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

    def _look(self, connection: Connection) -> tuple[list[Need] | None, str]:
        """Return what is needed, and why it cannot be done now; None: no PostgreSQL."""
        if not dialects.is_postgresql(connection):
            return None, ""
        needs = self.look(connection)
        return needs, care.obstacle(connection, needs, clock.now()) if needs else ""


VACUUM = DatabaseCare(look=care.tables_to_vacuum, nothing="no table has many dead rows")
REINDEX = DatabaseCare(look=care.indexes_to_rebuild, nothing="every index is valid")
