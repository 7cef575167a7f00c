"""A year of daily reports: one for each session at the right minute, or one a day for crypto.

The scheduler and its store are real. The clock jumps to just before and to each due time, which the
test computes from the exchange's calendar and the time zone.
"""

import asyncio
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from freezegun import freeze_time

from tests.jobs.day import simulated
from tests.jobs.spans import NOTIFY, Spans
from trading_ops.domain.job import JobRun
from trading_ops.jobs.config import load_jobs
from trading_ops.jobs.work.sessions import Table
from trading_ops.store import jobs

pytestmark = pytest.mark.slow

NEW_YORK = ZoneInfo("America/New_York")
BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
REPORT = "report_daily"
MINUTE = timedelta(minutes=1)

HALF_DAYS = {date(2026, 11, 27), date(2026, 12, 24)}
HOLIDAYS = {
    date(2026, *day)
    for day in (
        (1, 1), (1, 19), (2, 16), (4, 3), (5, 25), (6, 19), (7, 3), (9, 7), (11, 26), (12, 25),
    )
}  # fmt: skip


DAYS = [date(2025, 12, 31) + timedelta(days=n) for n in range(366)]
"""The days in New York that this year of UTC touches."""

SPRING = date(2026, 3, 8)
"""Without the hour from 02:00 to 03:00."""


def moments(clocks: dict[date, time]) -> list[datetime]:
    """Return these local times in UTC, as far as they are in the year."""
    found = [datetime.combine(*clock, NEW_YORK).astimezone(UTC) for clock in clocks.items()]
    return [due_at for due_at in found if BEGIN < due_at < END]


def after_closes() -> list[datetime]:
    """Half an hour after each close of New York, by the rules of the exchange."""
    sessions = [day for day in DAYS if day.weekday() < 5 and day not in HOLIDAYS]
    return moments({day: time(13 if day in HALF_DAYS else 16, 30) for day in sessions})


def table() -> Table:
    """Return the sessions of the exchange, from the process that the job starts."""
    command = [sys.executable, "-m", "trading_ops.jobs.work.session_table"]
    command += ["2025-12-25", "2027-01-10", "XNYS"]
    return msgspec.json.decode(subprocess.check_output(command), type=Table)


async def runs_of_a_year(folder: Path, yaml: str, due: list[datetime], job: Spans) -> list[JobRun]:
    """Return the reports of a year, with passes a second before, at and after each due time."""
    (folder / "notify.yml").write_text(NOTIFY)
    (folder / "jobs.yml").write_text(f"jobs:\n  {REPORT}: {yaml}\n")
    entries = {REPORT: load_jobs(folder).entries[REPORT]}
    with simulated(folder, entries, job) as (scheduler, lease):
        for name, sessions in table().items():
            store = partial(jobs.store_sessions, calendar=name, sessions=sessions, now=BEGIN)
            await scheduler.writer.run(store)
        with freeze_time(BEGIN, real_asyncio=True) as frozen:
            await lease.begin()
            await scheduler.pass_once()
            for moment in due:
                for now in (moment - timedelta(seconds=1), moment, moment + MINUTE):
                    frozen.move_to(now)
                    await lease.hold(())
                    await scheduler.pass_once()
                    await scheduler.stop(within=60)
            await lease.end()
        return await scheduler.reader.read(partial(jobs.history, job=REPORT, limit=1_000))


@pytest.mark.parametrize(
    ("yaml", "due", "count"),
    [
        ('{schedule: "XNYS close + 30min"}', after_closes(), 251),
        (
            '{schedule: "30 23 * * *", zone: America/New_York}',
            moments(dict.fromkeys(DAYS, time(23, 30))),
            365,
        ),
        # This time comes twice in November and never in March: once all the same, after the gap.
        (
            '{schedule: "30 2 * * *", zone: America/New_York}',
            moments(dict.fromkeys(DAYS, time(2, 30)) | {SPRING: time(3)}),
            365,
        ),
    ],
    ids=["XNYS", "crypto", "crypto at the hour of the clock change"],
)
def test_a_year_has_one_report_for_each_day(
    tmp_path: Path, yaml: str, due: list[datetime], count: int
) -> None:
    reports = Spans(REPORT)
    runs = asyncio.run(runs_of_a_year(tmp_path, yaml, due, reports))
    started: list[Any] = sorted((run.due_at, run.started_at) for run in runs)
    assert started == [(moment, moment) for moment in due]
    assert len(started) == count
    # Each report ends when it is due, and begins where the one before ended.
    assert [until for _, until in reports.found] == due
    assert [since for since, _ in reports.found][1:] == due[:-1]
    assert due[0] - reports.found[0][0] >= timedelta(hours=23)
