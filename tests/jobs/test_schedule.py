"""When a job is due: clock changes, leap days, missed runs, a clock set back, trading sessions."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_ops.errors import ConfigError
from trading_ops.jobs.schedule import (
    AtSession,
    Cron,
    Schedule,
    TradingSession,
    grace,
    jitter,
    next_due,
    parse,
)

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def between(begin: str, end: str) -> st.SearchStrategy[datetime]:
    first, last = (int(utc(text).timestamp()) for text in (begin, end))
    return st.integers(first, last).map(lambda at: datetime.fromtimestamp(at, tz=UTC))


def dues(schedule: Schedule, after: str, count: int) -> list[str]:
    """The next due times, each dealt with when it is due."""
    found, last = [], utc(after)
    for _ in range(count):
        due = next_due(schedule, last, last)
        assert due is not None
        found.append(f"{due:%m-%d %H:%M}")
        last = due
    return found


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        # The clock goes from 02:00 to 03:00 on 29 March: 02:30 does not exist.
        ("30 2 * * *", BERLIN, "2026-03-28", ["03-28 01:30", "03-29 01:00", "03-30 00:30"]),
        # It goes from 03:00 back to 02:00 on 25 October: 02:30 comes twice.
        ("30 2 * * *", BERLIN, "2026-10-24", ["10-24 00:30", "10-25 00:30", "10-26 01:30"]),
        ("30 2 * * *", NEW_YORK, "2026-03-07T12", ["03-08 07:00", "03-09 06:30"]),
        ("30 1 * * *", NEW_YORK, "2026-10-31T12", ["11-01 05:30", "11-02 06:30"]),
        # Every half hour follows elapsed time.
        ("*/30 * * * *", BERLIN, "2026-03-29T00:30", ["03-29 01:00", "03-29 01:30"]),
        ("*/30 * * * *", BERLIN, "2026-10-25T00:15", ["10-25 00:30", "10-25 01:00", "10-25 01:30"]),
        # Two times inside the gap fall on the same moment, which is due once.
        ("0,30 2 * * *", BERLIN, "2026-03-28T12", ["03-29 01:00", "03-30 00:00"]),
        ("0 0 29 2 *", "UTC", "2026-01-01", ["02-29 00:00"]),
        ("0 3 31 * *", "UTC", "2026-01-31T12", ["03-31 03:00", "05-31 03:00"]),
    ],
)
def test_cron(cron: str, zone: str, after: str, expected: list[str]) -> None:
    """Each due time as an instant in UTC."""
    assert dues(Cron(expression=cron, zone=zone), after, len(expected)) == expected


def test_missed_days_are_one_due_time_in_the_past() -> None:
    """Only the first missed run is due; the schedule then continues from now."""
    daily = Cron(expression="0 3 * * *")
    now = utc("2026-05-10T12")
    assert next_due(daily, utc("2026-05-01T03"), now) == utc("2026-05-02T03")
    assert next_due(daily, now, now) == utc("2026-05-11T03")


def test_a_new_job_starts_from_now() -> None:
    """It does not make up for a past that it has no part in."""
    now = utc("2026-05-10T12")
    assert next_due(Cron(expression="0 3 * * *"), None, now) == utc("2026-05-11T03")


def test_a_clock_set_back_repeats_nothing() -> None:
    """By less than a day: what ran stays run. By more: the clock was wrong when it ran."""
    daily, ran = Cron(expression="0 3 * * *"), utc("2026-05-10T03")
    assert next_due(daily, ran, utc("2026-05-10T02")) == utc("2026-05-11T03")
    assert next_due(daily, utc("2036-01-01T03"), utc("2026-05-10T02")) == utc("2026-05-10T03")


@settings(deadline=None)
@given(
    after=between("2025-01-01", "2032-01-01"),
    zone=st.sampled_from([BERLIN, NEW_YORK, "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
)
def test_a_daily_job_runs_once_on_each_local_day(
    after: datetime, zone: str, hour: int, minute: int
) -> None:
    """Whatever the clock does, and always later than the last time."""
    schedule, where = Cron(expression=f"{minute} {hour} * * *", zone=zone), ZoneInfo(zone)
    first = next_due(schedule, after, after)
    assert first is not None
    second = next_due(schedule, first, first)
    assert second is not None
    assert after < first < second
    assert second.astimezone(where).date() == first.astimezone(where).date() + timedelta(days=1)


@settings(deadline=None)
@given(
    after=between("2026-03-28", "2026-03-30") | between("2026-10-24", "2026-10-26"),
    step=st.sampled_from([5, 15, 30]),
)
def test_every_few_minutes_means_elapsed_time(after: datetime, step: int) -> None:
    """On the days of the clock changes too."""
    due = next_due(Cron(expression=f"*/{step} * * * *", zone=BERLIN), after, after)
    assert due is not None
    assert timedelta(0) < due - after <= timedelta(minutes=step)


def session(day: date, close: str) -> TradingSession:
    """One session of New York, by its own clock."""
    zone = ZoneInfo(NEW_YORK)
    opens = datetime.combine(day, time(9, 30), zone)
    closes = datetime.combine(day, time.fromisoformat(close), zone)
    return TradingSession(opens.astimezone(UTC), closes.astimezone(UTC))


def test_a_half_day_closes_early() -> None:
    """The day after Thanksgiving 2026 closes at 13:00 in New York; Thursday is no session."""
    week = [
        session(date(2026, 11, 25), "16:00"),
        session(date(2026, 11, 27), "13:00"),
        session(date(2026, 11, 30), "16:00"),
    ]
    schedule = parse("XNYS close + 30min", "UTC")
    assert schedule == AtSession(calendar="XNYS", edge="close", offset=timedelta(minutes=30))
    found, last = [], utc("2026-11-25T12")
    while (due := next_due(schedule, last, last, week)) is not None:
        found.append(f"{due.astimezone(ZoneInfo(NEW_YORK)):%m-%d %H:%M}")
        last = due
    assert found == ["11-25 16:30", "11-27 13:30", "11-30 16:30"]


def test_before_the_open() -> None:
    """An offset may be negative."""
    schedule = parse("XNYS open - 15min", "UTC")
    monday = [session(date(2026, 11, 30), "16:00")]
    assert next_due(schedule, None, utc("2026-11-30T12"), monday) == utc("2026-11-30T14:15")


@pytest.mark.parametrize(
    ("text", "zone", "message"),
    [
        ("61 * * * *", "UTC", "jobs.a.schedule"),
        ("* * *", "UTC", "jobs.a.schedule"),
        ("0 0 30 2 *", "UTC", "jobs.a.schedule"),
        ("* * * * * *", "UTC", "jobs.a.schedule"),
        ("XNYS close + soon", "UTC", "jobs.a.schedule"),
        ("0 3 * * *", "Mars/Phobos", "jobs.a.zone"),
        ("0 3 * * *", "../../etc/passwd", "jobs.a.zone"),
    ],
)
def test_what_is_refused_is_named(text: str, zone: str, message: str) -> None:
    """With the key that is wrong."""
    with pytest.raises(ConfigError) as caught:
        parse(text, zone, where="jobs.yml", key="jobs.a")
    assert (caught.value.where, caught.value.key) == ("jobs.yml", message)


def test_jitter_is_the_same_everywhere() -> None:
    """It depends on the job and the due time only, and spreads the jobs."""
    due, most = utc("2026-05-10T03"), timedelta(minutes=10)
    spread = {jitter(f"job {n}", due, most) for n in range(50)}
    assert jitter("job 1", due, most) == jitter("job 1", due, most)
    assert all(timedelta(0) <= delay < most for delay in spread)
    assert len(spread) > 40


@pytest.mark.parametrize(
    ("cron", "seconds"), [("* * * * *", 15), ("*/8 * * * *", 120), ("20 * * * *", 300)]
)
def test_a_job_that_runs_often_is_missed_sooner(cron: str, seconds: int) -> None:
    """A quarter of its period, at most five minutes."""
    due = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
    found = grace(Cron(expression=cron), due, most=timedelta(minutes=5))
    assert found == timedelta(seconds=seconds)


def test_the_last_stored_session_has_the_longest_grace() -> None:
    """When the next one is unknown."""
    close = AtSession(calendar="XNYS", edge="close", offset=timedelta(0))
    due = datetime(2026, 3, 1, 21, 0, tzinfo=UTC)
    assert grace(close, due, most=timedelta(minutes=5)) == timedelta(minutes=5)
