"""The job that keeps the table of trading sessions a year ahead.

Calendars come from `exchange_calendars` (extra `calendars`), which needs pandas, so it is imported
only in a separate process.
"""

import asyncio
import sys
from datetime import datetime, timedelta
from functools import partial

import msgspec

from trading_ops import clock
from trading_ops.domain.job import JobOutcome
from trading_ops.jobs.job import Context, JobResult, Plan, PlannedStep
from trading_ops.jobs.work.commands import end, last_line
from trading_ops.store import jobs

AHEAD = timedelta(days=365)
BEHIND = timedelta(days=7)
"""Stored past sessions, for missed jobs."""

FRESH = timedelta(days=335)
"""If the table reaches this far, there is nothing to do."""

Table = dict[str, list[tuple[datetime, datetime]]]


class TradingSessions:
    """Stores when the exchanges of jobs.yml open and close."""

    async def plan(self, context: Context) -> Plan:
        """Return a step for each calendar whose table ends too soon."""
        found = await self._ending(context)
        return Plan(
            tuple(
                PlannedStep(f"store the sessions of {name} for a year", reason)
                for name, reason in found.items()
            )
        )

    async def run(self, context: Context) -> JobResult:
        """Store a year of sessions of each calendar that needs it."""
        wanted = sorted(await self._ending(context))
        if not wanted:
            return JobResult(JobOutcome.NOTHING_TO_DO, "every calendar reaches far enough")
        now = clock.now()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trading_ops.jobs.work.session_table"),
            *((now - BEHIND).date().isoformat(), (now + AHEAD).date().isoformat(), *wanted),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, errors = await process.communicate()
        finally:
            await end(process)
        if process.returncode:
            return JobResult(JobOutcome.FAILED, last_line(errors))
        table = msgspec.json.decode(output, type=Table)
        for name, sessions in table.items():
            store = partial(jobs.store_sessions, calendar=name, sessions=sessions, now=clock.now())
            await context.writer.run(store)
        counts = ", ".join(f"{name}: {len(found)} sessions" for name, found in table.items())
        return JobResult(JobOutcome.DONE, counts)

    async def _ending(self, context: Context) -> dict[str, str]:
        """Return the calendars whose table ends too soon, and when it ends."""
        found = {}
        for name in sorted(context.calendars):
            stored = await context.reader.read(partial(jobs.sessions_of, calendar=name))
            last = stored[-1][1] if stored else None
            if last is None or last < clock.now() + FRESH:
                found[name] = f"the table ends on {last:%Y-%m-%d}" if last else "none is stored"
        return found


TRADING_SESSIONS = TradingSessions()
