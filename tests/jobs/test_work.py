"""What the shipped jobs do: reports once a session, and the table of sessions."""

import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from tests.jobs.conftest import Replica, Start, entry
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.config.settings import Settings
from trading_ops.domain.job import JobOutcome
from trading_ops.jobs.job import Context, load
from trading_ops.jobs.schedule import TradingSession, next_due, parse
from trading_ops.jobs.scheduler import SESSIONS_JOB, Scheduler
from trading_ops.jobs.work import session_table
from trading_ops.jobs.work.commands import why
from trading_ops.jobs.work.sessions import Table
from trading_ops.store import jobs

pytestmark = pytest.mark.processes

NEW_YORK = ZoneInfo("America/New_York")
HALF_DAYS = {date(2026, 11, 27), date(2026, 12, 24)}


def test_a_daily_summary_for_each_session_of_a_year() -> None:
    """One for each, half an hour after its close: 16:30 in New York, on half days 13:30."""
    done = subprocess.run(
        [sys.executable, "-m", session_table.__name__, "2026-01-01", "2026-12-31", "XNYS"],
        capture_output=True,
        check=True,
    )
    year = [TradingSession(*row) for row in msgspec.json.decode(done.stdout, type=Table)["XNYS"]]
    schedule = parse("XNYS close + 30min", "UTC")
    due, last = [], datetime(2026, 1, 1, tzinfo=UTC)
    while (moment := next_due(schedule, last, last, year)) is not None:
        due.append(moment)
        last = moment
    local = [due_at.astimezone(NEW_YORK) for due_at in due]
    assert len({due_at.date() for due_at in local}) == len(local) == len(year)
    times = {due_at.date(): f"{due_at:%H:%M}" for due_at in local}
    assert {day for day, at in times.items() if at != "16:30"} == HALF_DAYS
    assert {times[day] for day in HALF_DAYS} == {"13:30"}
    assert {due_at.utcoffset() for due_at in local} == {timedelta(hours=-5), timedelta(hours=-4)}


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (None, "messages are off"),
        ("version: 1\nroutes: [{name: a, kinds: [trade], to: [mail]}]\n", "no route"),
    ],
)
async def test_a_report_that_no_one_gets_is_not_made(
    start: Start, tmp_path: Path, text: str | None, detail: str
) -> None:
    """An installation without messages must not fail each night."""
    if text is not None:
        (tmp_path / "notify.yml").write_text(text)
    job = load("report_daily")
    async with start() as replica:
        context = context_of(replica, tmp_path)
        assert not (await job.plan(context)).steps
        result = await job.run(context)
    assert result.outcome is JobOutcome.NOTHING_TO_DO
    assert detail in result.detail


@pytest.mark.parametrize(
    ("code", "output", "expected"),
    [
        (2, "no such key", "exit code 2: no such key"),
        (2, "", "exit code 2"),
        (-signal.SIGKILL, "10 of 80 events", "ended by SIGKILL: 10 of 80 events"),
        (-signal.SIGKILL, "", "ended by SIGKILL"),
    ],
)
def test_a_failed_process_says_how_it_ended(code: int, output: str, expected: str) -> None:
    assert why(code, output) == expected


async def test_the_table_of_sessions_is_filled_for_a_year(start: Start, tmp_path: Path) -> None:
    """Then there is nothing to do; a calendar that no one knows fails with its name."""
    job = load("trading_sessions")
    async with start() as replica:
        context = context_of(replica, tmp_path, "XNYS")
        assert [step.what for step in (await job.plan(context)).steps] != []
        done = await job.run(context)
        assert (done.outcome, done.detail.partition(":")[0]) == (JobOutcome.DONE, "XNYS")
        reader = replica.scheduler.reader
        stored = await reader.read(partial(jobs.sessions_of, calendar="XNYS"))
        assert stored[-1][1] > clock.now() + timedelta(days=355)
        assert (await job.run(context)).outcome is JobOutcome.NOTHING_TO_DO
        unknown = await job.run(context_of(replica, tmp_path, "XNONE"))
    assert unknown.outcome is JobOutcome.FAILED
    assert "XNONE" in unknown.detail


async def test_an_empty_table_is_filled_without_waiting(start: Start) -> None:
    """A schedule by sessions works from the first pass on, not from the next night on."""
    async with start() as replica:
        scheduler = replica.scheduler
        by_session = entry("nightly", schedule=parse("XNYS close + 30min", "UTC"))
        filler = entry(SESSIONS_JOB)
        scheduler.entries = {"nightly": by_session, SESSIONS_JOB: filler}
        scheduler.jobs = {"nightly": replica.job, SESSIONS_JOB: load(SESSIONS_JOB)}
        await scheduler.pass_once()
        await eventually(partial(due_at, scheduler), within=20)


async def due_at(scheduler: Scheduler) -> datetime | None:
    """Return when the job is due next."""
    (due,) = [
        standing for standing in await scheduler.statuses() if standing.entry.name == "nightly"
    ]
    return due.due_at


def context_of(replica: Replica, folder: Path, *calendars: str) -> Context:
    """Return what a job works with."""
    return Context(
        settings=Settings(root=folder, var=folder / "var", notify_config=folder / "notify.yml"),
        writer=replica.scheduler.writer,
        reader=replica.scheduler.reader,
        schedule=parse("55 23 * * *", "UTC"),
        timeout=timedelta(minutes=5),
        calendars=frozenset(calendars),
    )
