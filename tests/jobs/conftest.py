"""A scheduler on a real database, with jobs that do as a test says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from trading_ops import clock
from trading_ops.config.settings import Settings
from trading_ops.domain.job import JobOutcome, JobRun
from trading_ops.jobs.config import JobEntry
from trading_ops.jobs.job import Context, JobResult, Plan, PlannedStep
from trading_ops.jobs.schedule import Cron
from trading_ops.jobs.scheduler import Scheduler
from trading_ops.reconciler.lease import Leases
from trading_ops.reconciler.metrics import JobMetrics
from trading_ops.store import Connection, jobs
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer


@dataclass
class RecordingJob:
    """A job that waits until the test ends it."""

    began: asyncio.Event = field(default_factory=asyncio.Event)
    end: asyncio.Event = field(default_factory=asyncio.Event)
    result: JobResult = field(default_factory=lambda: JobResult(JobOutcome.DONE, "as configured"))
    runs: int = 0

    async def plan(self, context: Context) -> Plan:
        del context
        return Plan((PlannedStep("wait", "the test says so"),))

    async def run(self, context: Context) -> JobResult:
        del context
        self.runs += 1
        self.began.set()
        await self.end.wait()
        return self.result


def entry(name: str = "nightly", **over: Any) -> JobEntry:
    """A job that is due once a year, so that no test meets its next due time."""
    values: dict[str, Any] = {
        "name": name,
        "schedule": Cron(expression="0 0 1 1 *"),
        "skip_missed": False,
        "timeout": timedelta(hours=1),
        "jitter": timedelta(0),
        "enabled": True,
        "in_maintenance": False,
    }
    return JobEntry(**(values | over))


@dataclass(kw_only=True)
class Replica:
    """One reconciler's scheduler."""

    scheduler: Scheduler
    job: RecordingJob
    registry: CollectorRegistry

    async def make_due(self) -> None:
        """Let it be long since the job was dealt with."""
        past = clock.now() - timedelta(days=400)

        def age(connection: Connection) -> None:
            jobs.register(connection, ["nightly"], now=past)

        await self.scheduler.writer.run(age)

    async def history(self) -> list[JobRun]:
        """Return the runs, newest first."""
        return await self.scheduler.reader.read(
            lambda connection: jobs.history(connection, "nightly")
        )

    async def ended(self) -> JobRun:
        """Wait until the newest run is over, and return it."""
        async with asyncio.timeout(60):
            while True:
                found = await self.history()
                if found and found[0].outcome is not JobOutcome.RUNNING:
                    return found[0]
                await asyncio.sleep(0.01)

    def metric(self, name: str) -> float | None:
        """Return the job's value of a metric."""
        return self.registry.get_sample_value(f"trading_ops_job_{name}", {"name": "nightly"})


Start = Callable[..., Any]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty folder."""
    return Settings(root=tmp_path, var=tmp_path / "var")


@pytest.fixture
def start(database_url: str, settings: Settings) -> Start:
    """Start a replica: `async with start() as replica`."""

    @asynccontextmanager
    async def begin(
        name: str = "one", *, leave: bool = True, observe_only: bool = False, **over: Any
    ) -> AsyncIterator[Replica]:
        writer = Writer(writing_engine(database_url))
        writer.start()
        reader = Reader(reading_engine(database_url))
        lease = Leases(writer, name, alone=False)
        await lease.begin()
        job, registry = RecordingJob(), CollectorRegistry()
        given = Settings(root=settings.root, var=settings.var, observe_only=observe_only)
        scheduler = Scheduler(
            entries={"nightly": entry(**over)},
            writer=writer,
            reader=reader,
            lease=lease,
            metrics=JobMetrics(registry),
            settings=given,
            jobs={"nightly": job},
        )
        try:
            yield Replica(scheduler=scheduler, job=job, registry=registry)
        finally:
            job.end.set()
            await scheduler.stop()
            if leave:
                await lease.end()
            reader.close()
            writer.stop()

    return begin
