"""The scheduler on a real database: due, held back, missed, cut off, left behind, two replicas."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from tests.databases import postgresql_only
from tests.jobs.conftest import Start
from trading_ops import clock
from trading_ops.domain.decision import Pause
from trading_ops.domain.job import JobOutcome
from trading_ops.errors import RequestRefused
from trading_ops.jobs.job import JobResult
from trading_ops.store import Connection, events, jobs, maintenance

SKIP = {"skip_missed": True}


async def test_what_is_due_runs_once(start: Start) -> None:
    """Its outcome is stored and shown; the same due time does not run again."""
    async with start() as replica:
        await replica.make_due()
        await replica.scheduler.pass_once()
        await replica.job.began.wait()
        await replica.scheduler.pass_once()
        assert replica.metric("expected_timestamp_seconds") is None
        replica.job.end.set()
        run = await replica.ended()
        assert (run.outcome, run.detail, run.actor) == (
            JobOutcome.DONE,
            "as configured",
            "schedule",
        )
        await replica.scheduler.pass_once()
        assert replica.job.runs == 1
        assert replica.metric("failing") == 0
        assert replica.metric("last_success_timestamp_seconds") == run.ended_at.timestamp()
        assert replica.metric("expected_timestamp_seconds") > clock.timestamp()


async def test_a_failure_is_shown_until_the_next_success(start: Start) -> None:
    """An exception is a failure; it does not stop the scheduler."""
    async with start() as replica:
        await replica.make_due()
        replica.job.result = JobResult(JobOutcome.FAILED, "no space left")
        replica.job.end.set()
        await replica.scheduler.pass_once()
        assert (await replica.ended()).outcome is JobOutcome.FAILED
        await replica.scheduler.pass_once()
        assert replica.metric("failing") == 1
        replica.job.result = JobResult(JobOutcome.NOTHING_TO_DO)
        await replica.scheduler.start("nightly", owner="ada")
        assert (await replica.ended()).actor == "ada"
        await replica.scheduler.pass_once()
        assert replica.metric("failing") == 0


async def test_a_run_is_cut_off_at_its_timeout(start: Start) -> None:
    """It counts as failed."""
    async with start(timeout=timedelta(milliseconds=50)) as replica:
        await replica.make_due()
        await replica.scheduler.pass_once()
        run = await replica.ended()
        assert run.outcome is JobOutcome.FAILED
        assert "timed out" in run.detail


async def test_a_pause_of_automation_holds_it_back(start: Start) -> None:
    """It is noted once with the reason, and runs when the pause is over."""
    async with start() as replica:
        await replica.make_due()
        now = clock.now()
        pause = Pause(owner="ada", reason="new disk", expires_at=now + timedelta(hours=1))
        await replica.scheduler.writer.run(partial(maintenance.begin_pause, pause=pause, now=now))
        await replica.scheduler.pass_once()
        await replica.scheduler.pass_once()
        (noted,) = await replica.history()
        assert noted.outcome is JobOutcome.REFUSED
        assert "paused by ada: new disk" in noted.detail
        release = partial(maintenance.end_pause, owner="ada", now=clock.now())
        await replica.scheduler.writer.run(release)
        await replica.scheduler.pass_once()
        await replica.job.began.wait()
        assert replica.job.runs == 1


async def test_observe_only_refuses_and_goes_on(start: Start) -> None:
    """Each due time is noted, nothing is held back, and a person cannot run it either."""
    async with start(observe_only=True) as replica:
        await replica.make_due()
        await replica.scheduler.pass_once()
        (noted,) = await replica.history()
        assert noted.outcome is JobOutcome.REFUSED
        (standing,) = await replica.scheduler.statuses()
        assert standing.state.held_due_at is None
        assert standing.due_at > clock.now() - timedelta(minutes=1)
        with pytest.raises(RequestRefused):
            await replica.scheduler.start("nightly", owner="ada")


async def test_a_missed_run_can_be_skipped(start: Start) -> None:
    """With misfire `skip` a due time that is long past is noted and not made up for."""
    async with start(**SKIP) as replica:
        await replica.make_due()
        await replica.scheduler.pass_once()
        (noted,) = await replica.history()
        assert noted.outcome is JobOutcome.REFUSED
        assert "missed" in noted.detail
        assert replica.job.runs == 0


async def test_a_paused_job_waits_for_resume(start: Start) -> None:
    """Nothing is expected of it meanwhile, and what was due is not made up for."""
    async with start() as replica:
        await replica.make_due()
        writer = replica.scheduler.writer
        pause = partial(jobs.pause, job="nightly", reason="slow", owner="ada", now=clock.now())
        await writer.run(pause)
        with pytest.raises(RequestRefused):
            await writer.run(pause)
        await replica.scheduler.pass_once()
        assert replica.metric("expected_timestamp_seconds") is None
        await writer.run(partial(jobs.resume, job="nightly", owner="ada", now=clock.now()))
        (standing,) = await replica.scheduler.statuses()
        assert standing.due_at > clock.now() - timedelta(minutes=1)
        assert await replica.history() == []


async def test_only_one_run_at_a_time(start: Start) -> None:
    """Neither the schedule nor a person starts a second one."""
    async with start() as replica:
        await replica.make_due()
        await replica.scheduler.pass_once()
        await replica.job.began.wait()
        with pytest.raises(RequestRefused):
            await replica.scheduler.start("nightly", owner="ada")
        assert replica.job.runs == 1


async def test_a_run_of_a_dead_replica_is_unknown(start: Start) -> None:
    """The next one closes it; a late report of the first one changes nothing."""
    async with start() as first:
        await first.make_due()
        await first.scheduler.pass_once()
        await first.job.began.wait()
        (run,) = await first.history()
        await first.scheduler.stop(within=0)  # as if it had died: nothing is reported
        await first.scheduler.lease.end()
        async with start("two") as second:
            await second.scheduler.pass_once()
            (closed,) = await second.history()
            assert closed.outcome is JobOutcome.UNKNOWN
            assert "one stopped" in closed.detail
            await second.scheduler.pass_once()
            assert second.metric("failing") == 1
            late = partial(
                jobs.finish, run=run.id, outcome=JobOutcome.DONE, detail="", now=clock.now()
            )
            assert not await second.scheduler.writer.run(late)
            (still,) = await second.history()
            assert still.outcome is JobOutcome.UNKNOWN


@postgresql_only
async def test_two_replicas_run_it_once(start: Start) -> None:
    """The lease holder runs it; the other one sees that it has run."""
    async with start() as first, start("two") as two:
        await first.make_due()
        first.job.end.set()
        two.job.end.set()
        await asyncio.gather(first.scheduler.pass_once(), two.scheduler.pass_once())
        await first.ended()
        await asyncio.gather(first.scheduler.pass_once(), two.scheduler.pass_once())
        assert first.job.runs + two.job.runs == 1


async def test_a_run_is_in_the_audit_log(start: Start) -> None:
    """Its start and its end, with the outcome."""
    async with start() as replica:
        await replica.make_due()
        replica.job.end.set()
        await replica.scheduler.start("nightly", owner="ada")
        await replica.ended()

        def kinds(connection: Connection) -> list[str]:
            return [f"{event.kind} {event.actor}" for event in events.latest(connection)]

        found = await replica.scheduler.reader.read(kinds)
        assert found[:2] == ["job_finished reconciler", "job_started ada"]
