"""Jobs: list, history, run, pause and resume."""

from datetime import datetime
from functools import partial

import msgspec

from trading_ops import clock, logs
from trading_ops.api.auth import Identity
from trading_ops.api.requests import Limit, Person, Text, not_found
from trading_ops.domain.job import JobRun
from trading_ops.jobs.job import PlannedStep
from trading_ops.jobs.scheduler import JobStatus, Scheduler
from trading_ops.store import jobs

log = logs.get(__name__)


class JobRunRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Operator who starts a job."""

    owner: Person | None = None


class JobPause(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Operator who pauses a job, and the reason."""

    reason: Text
    owner: Person | None = None


class JobResume(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Operator who resumes a job."""

    owner: Person | None = None


class JobHistoryQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Number of runs."""

    limit: Limit = 20


class JobView(msgspec.Struct, kw_only=True):
    """One job."""

    name: str
    schedule: str
    misfire: str
    timeout_seconds: float
    enabled: bool
    due_at: datetime | None
    """Next due time; None: disabled, paused, or no trading session is stored."""

    held_by: str | None
    """The gate that a due run waits for."""

    paused_by: str | None
    paused_reason: str | None
    running: JobRun | None
    last: JobRun | None
    succeeded_at: datetime | None


class JobPage(msgspec.Struct, kw_only=True):
    """Every job, by name."""

    jobs: list[JobView]


class JobHistory(msgspec.Struct, kw_only=True):
    """One job and its newest runs, newest first."""

    job: JobView
    runs: list[JobRun]


class JobPlan(msgspec.Struct, kw_only=True):
    """What a job would do now; no steps and no `refused`: nothing to do."""

    steps: list[PlannedStep]
    refused: str


class JobStarted(msgspec.Struct, kw_only=True):
    """The run that was started."""

    run: int


class JobRoutes:
    """Handlers of `jobs`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    async def show(self) -> JobPage:
        """Return every job with its schedule and its last run."""
        return JobPage(jobs=[_view(job) for job in await self._scheduler.statuses()])

    async def one(self, name: str, query: JobHistoryQuery) -> JobHistory:
        """Return one job and its newest runs."""
        view = await self._find(name)
        read = partial(jobs.history, job=name, limit=query.limit)
        return JobHistory(job=view, runs=await self._scheduler.reader.read(read))

    async def plan(self, name: str) -> JobPlan:
        """Dry run: return what a job would do now."""
        await self._find(name)
        plan = await self._scheduler.plan(name)
        return JobPlan(steps=list(plan.steps), refused=plan.refused)

    async def start(self, identity: Identity, name: str, body: JobRunRequest) -> JobStarted:
        """Run a job now."""
        await self._find(name)
        run = await self._scheduler.start(name, owner=identity.actor(body.owner))
        return JobStarted(run=run)

    async def pause(self, identity: Identity, name: str, body: JobPause) -> JobView:
        """Pause the schedule of a job."""
        await self._find(name)
        owner, now = identity.actor(body.owner), clock.now()
        change = partial(jobs.pause, job=name, owner=owner, reason=body.reason, now=now)
        await self._scheduler.writer.run(change)
        log.info("job_paused", job=name, owner=owner)
        return await self._find(name)

    async def resume(self, identity: Identity, name: str, query: JobResume) -> JobView:
        """Resume the schedule of a job."""
        await self._find(name)
        owner = identity.actor(query.owner)
        change = partial(jobs.resume, job=name, owner=owner, now=clock.now())
        await self._scheduler.writer.run(change)
        log.info("job_resumed", job=name, owner=owner)
        return await self._find(name)

    async def _find(self, name: str) -> JobView:
        found = [job for job in await self._scheduler.statuses() if job.entry.name == name]
        if not found:
            not_found("unknown job")
        return _view(found[0])


def _view(job: JobStatus) -> JobView:
    entry, state = job.entry, job.state
    return JobView(
        name=entry.name,
        schedule=str(entry.schedule),
        misfire="skip" if entry.skip_missed else "run_once",
        timeout_seconds=entry.timeout.total_seconds(),
        enabled=entry.enabled,
        due_at=job.due_at,
        held_by=state.held_by if state else None,
        paused_by=state.paused_by if state else None,
        paused_reason=state.paused_reason if state else None,
        running=job.running,
        last=job.last,
        succeeded_at=job.succeeded.ended_at if job.succeeded else None,
    )
