"""Runs the scheduler through days on which the clock changes, and prints what ran when.

    python -m tests.jobs.day [ZONE [DAY...]]

The scheduler, its store and the shipped schedules are real; the clock is set, five minutes at a
time, and the jobs do nothing. Three jobs at the hours of the change are added.
"""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
from freezegun import freeze_time
from prometheus_client import CollectorRegistry

from trading_ops.config.settings import Settings
from trading_ops.domain.job import JobOutcome, JobRun
from trading_ops.jobs.config import JobEntry, load_jobs
from trading_ops.jobs.job import Context, Job, JobResult, Plan
from trading_ops.jobs.schedule import Cron
from trading_ops.jobs.scheduler import Scheduler
from trading_ops.reconciler.lease import Leases
from trading_ops.reconciler.metrics import JobMetrics
from trading_ops.store import jobs
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.migrate import upgrade
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

DAYS = (date(2026, 3, 29), date(2026, 10, 25))
ADDED = {"in_the_change": "30 2 * * *", "half_hourly": "*/30 1-3 * * *", "elapsed": "30 */2 * * *"}
MOST_RUNS = 1000


class Instant:
    """A job that does nothing."""

    async def plan(self, context: Context) -> Plan:
        del context
        return Plan()

    async def run(self, context: Context) -> JobResult:
        del context
        return JobResult(JobOutcome.DONE, "simulated")


def entries_in(zone: str) -> dict[str, JobEntry]:
    """Return the shipped jobs that run by cron, and some more, all in a zone."""
    shipped = load_jobs(Path("/nonexistent")).entries
    found = {name: _in_zone(entry, zone) for name, entry in shipped.items()}
    example = replace(next(iter(found.values())), jitter=timedelta(0))
    for name, expression in ADDED.items():
        found[name] = replace(example, name=name, schedule=Cron(expression=expression, zone=zone))
    return found


def _in_zone(entry: JobEntry, zone: str) -> JobEntry:
    schedule = entry.schedule
    return (
        replace(entry, schedule=replace(schedule, zone=zone))
        if isinstance(schedule, Cron)
        else entry
    )


def simulate(
    day: date, zone: str, entries: Mapping[str, JobEntry], step: timedelta = timedelta(minutes=5)
) -> list[JobRun]:
    """Return the runs of one local day, in the order of their start."""
    begin, end = (
        datetime.combine(date_, time(), ZoneInfo(zone)).astimezone(UTC)
        for date_ in (day, day + timedelta(days=1))
    )
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_simulate(Path(folder), begin, end, entries, step))


@contextlib.contextmanager
def simulated(
    folder: Path, entries: Mapping[str, JobEntry], job: Job | None = None
) -> Iterator[tuple[Scheduler, Leases]]:
    """A scheduler on a store of its own, whose jobs do nothing, or do as one of the test's."""
    url = f"sqlite:///{folder / 'store.db'}"
    upgrade(url)
    writer, reader = Writer(writing_engine(url)), Reader(reading_engine(url))
    writer.start()
    lease = Leases(writer, "simulated", alone=True)
    try:
        yield (
            Scheduler(
                entries=entries,
                writer=writer,
                reader=reader,
                lease=lease,
                metrics=JobMetrics(CollectorRegistry()),
                settings=Settings(root=folder, var=folder, notify_config=folder / "notify.yml"),
                jobs=dict.fromkeys(entries, job or Instant()),
            ),
            lease,
        )
    finally:
        reader.close()
        writer.stop()


async def _simulate(
    folder: Path, begin: datetime, end: datetime, entries: Mapping[str, JobEntry], step: timedelta
) -> list[JobRun]:
    found: list[JobRun] = []
    # A second before midnight, so that midnight itself is due.
    with (
        simulated(folder, entries) as (scheduler, lease),
        freeze_time(begin - timedelta(seconds=1), real_asyncio=True) as clock,
    ):
        await lease.begin()
        await scheduler.pass_once()
        at = begin
        while at < end:
            clock.move_to(at)
            await lease.hold(())  # the monotonic clock moved too: it renews
            await scheduler.pass_once()
            await scheduler.stop(within=60)
            at += step
        for name in entries:
            read = partial(jobs.history, job=name, limit=MOST_RUNS)
            found += await scheduler.reader.read(read)
        await lease.end()
    return sorted(found, key=lambda run: (run.started_at, run.job))


def main() -> None:
    """Print a table for each day."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    zone, *texts = sys.argv[1:] or ["Europe/Berlin"]
    for day in [date.fromisoformat(text) for text in texts] or DAYS:
        runs = simulate(day, zone, entries_in(zone))
        sys.stdout.write(f"\n{day} in {zone}\n{'job':20}{'due':24}{'started (UTC)':16}outcome\n")
        for run in runs:
            due = f"{run.due_at.astimezone(ZoneInfo(zone)):%H:%M UTC%z}" if run.due_at else "-"
            sys.stdout.write(
                f"{run.job:20}{due:24}{run.started_at:%m-%d %H:%M}     {run.outcome}\n"
            )


if __name__ == "__main__":
    main()
