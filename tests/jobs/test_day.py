"""Whole days on which the clock changes, through the real scheduler."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from tests.jobs.day import DAYS, entries_in, simulate

pytestmark = pytest.mark.slow
ZONE = "Europe/Berlin"


@pytest.mark.parametrize(
    ("day", "in_the_change", "half_hourly", "elapsed"),
    [
        # 02:30 does not exist: right after the gap. 02:00 and 02:30 are one due time with 03:00.
        (DAYS[0], "03:00+0200", 4, 11),
        # 02:30 comes twice: the first time only. What follows elapsed time runs both times.
        (DAYS[1], "02:30+0200", 6, 13),
    ],
)
def test_a_day_of_a_clock_change(
    day: date, in_the_change: str, half_hourly: int, elapsed: int
) -> None:
    entries = entries_in(ZONE)
    runs = simulate(day, ZONE, entries)
    due = [f"{run.due_at.astimezone(ZoneInfo(ZONE)):%H:%M%z}" for run in runs if run.due_at]
    by_job = {
        name: [at for run, at in zip(runs, due, strict=True) if run.job == name] for name in entries
    }
    assert by_job["in_the_change"] == [in_the_change]
    assert len(by_job["half_hourly"]) == half_hourly
    assert len(by_job["elapsed"]) == elapsed
    assert {len(by_job[name]) for name in ("audit_verify", "clean_up", "report_daily")} == {1}
    assert len({(run.job, run.due_at) for run in runs}) == len(runs)
