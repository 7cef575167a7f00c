"""Maintenance jobs for PostgreSQL databases, ours and the bots', one statement at a time in each.

The locks of each statement do not block requests or intake, and it gives up after three seconds if
it cannot get them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from trading_ops import clock
from trading_ops.domain.job import JobOutcome
from trading_ops.errors import StoreError
from trading_ops.jobs.job import Context, JobResult, Plan, PlannedStep
from trading_ops.jobs.work.concurrently import SHARE
from trading_ops.jobs.work.databases import MaintainedDatabase, databases, of_each
from trading_ops.store import Connection, care
from trading_ops.store.care import Baselines, DatabaseNeed

SQLITE = "no database is in PostgreSQL"
PLAN_WITHIN = timedelta(seconds=20)
"""For the databases of all bots: a person waits for it."""

END_SECONDS = 10.0
"""Time for the server to end a cancelled statement."""


@dataclass(frozen=True, kw_only=True)
class _Needs:
    """What a database needs."""

    statements: list[DatabaseNeed]
    refused: str
    """Why they cannot run now; empty: they can."""

    blocked: str
    """Which further statements lack space, and why; empty: none."""

    @property
    def reasons(self) -> list[str]:
        """Return why something is not done."""
        return [why for why in (self.refused, self.blocked) if why]


@dataclass(frozen=True, kw_only=True)
class DatabaseCare:
    """Runs the maintenance statements that a check of each database finds necessary."""

    check: Callable[[Connection, Baselines], list[DatabaseNeed]]
    nothing: str

    async def plan(self, context: Context) -> Plan:
        """Return each statement with its reason, or why it cannot run now."""
        found, problems, left_alone = await databases(context)
        needed, failed = await of_each(found, partial(self._needs, context), within=PLAN_WITHIN)
        steps: list[PlannedStep] = []
        refusals: list[str] = []
        for database, needs in needed:
            refusals += map(database.named, needs.reasons)
            if not needs.refused:
                steps += [
                    PlannedStep(database.named(need.what), need.reason, f"{need.size / 1e6:.1f} MB")
                    for need in needs.statements
                ]
        why = [*problems, *failed, *refusals, *left_alone]
        return Plan(tuple(steps), refused="" if steps else "; ".join(why))

    async def run(self, context: Context) -> JobResult:
        """Run the statements; cancel the current ones when the job is cancelled.

        Raises:
            StoreError: some could not be run; the other databases were maintained.
        """
        found, problems, left_alone = await databases(context)
        care_of = partial(self._care_of, context)
        needed, failed = await of_each(found, care_of, within=SHARE * context.timeout)
        problems += failed
        refusals = [database.named(why) for database, needs in needed for why in needs.reasons]
        done = [
            database.named(f"{need.what}: {need.reason}")
            for database, needs in needed
            for need in (() if needs.refused else needs.statements)
        ]
        if problems:
            raise StoreError("; ".join(problems + done + refusals))
        if done:
            return JobResult(JobOutcome.DONE, "; ".join(done + refusals))
        if refusals:
            return JobResult(JobOutcome.REFUSED, "; ".join(refusals))
        nothing = self.nothing if found else SQLITE
        return JobResult(JobOutcome.NOTHING_TO_DO, "; ".join([nothing, *left_alone]))

    async def _care_of(self, context: Context, database: MaintainedDatabase) -> _Needs:
        needs = await self._needs(context, database)
        if needs.statements and not needs.refused:
            await _carry_out(context, database, needs.statements)
        return needs

    async def _needs(self, context: Context, database: MaintainedDatabase) -> _Needs:
        recorded = await context.reader.read(partial(care.read_baselines, bot=database.bot))
        return await database.read(context, partial(self._read, baselines=recorded))

    def _read(self, connection: Connection, *, baselines: Baselines) -> _Needs:
        needs = self.check(connection, baselines)
        blocked = ""
        if any(need.space for need in needs):
            needs, blocked = care.without_space(needs, care.free_space(connection))
        refused = care.obstacle(connection, needs, clock.now()) if needs else ""
        return _Needs(statements=needs, refused=refused, blocked=blocked)


async def _carry_out(
    context: Context, database: MaintainedDatabase, needs: list[DatabaseNeed]
) -> None:
    work = care.Work(database.url, needs, context.timeout)
    task = asyncio.create_task(asyncio.to_thread(work.carry_out))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.to_thread(work.stop)
        await asyncio.wait({task}, timeout=END_SECONDS)
        raise


VACUUM = DatabaseCare(check=care.tables_to_vacuum, nothing="no table has many dead rows")
REINDEX = DatabaseCare(check=care.indexes_to_rebuild, nothing="no index is invalid or bloated")
