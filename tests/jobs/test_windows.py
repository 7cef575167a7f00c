"""Maintenance windows that come again: planned once each, also over a clock change."""

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import make_registry
from tests.jobs.conftest import Replica, Start
from trading_ops import clock
from trading_ops.domain.maintenance import Maintenance, RecurringWindow
from trading_ops.errors import ConfigError
from trading_ops.jobs.schedule import cron_of
from trading_ops.jobs.windows import FILE, Loaded, Recurring, load_windows, ordered
from trading_ops.store import maintenance

BERLIN = ZoneInfo("Europe/Berlin")
WEEKLY = """\
windows:
  patches: {every: "0 2 * * 0", zone: Europe/Berlin, for: 1h, target: alpha, reason: OS patches}
"""


NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def order(**over: Any) -> RecurringWindow:
    """Return a recurring window as an operator orders it."""
    values: dict[str, Any] = {
        "target": "alpha",
        "owner": "ada",
        "reason": "OS patches",
        "every": "Sun 02:00",
        "zone": "Europe/Berlin",
        "seconds": 3600,
        "created_at": NEW_YEAR,
    }
    return RecurringWindow(**(values | over))


def loaded(folder: Path, text: str = WEEKLY) -> Recurring:
    """Return the only entry of a file."""
    (folder / FILE).write_text(text)
    found = load_windows(folder, make_registry(alpha="127.0.0.1:1"))
    assert not found.refused
    (window,) = found.windows
    return window


async def planned(replica: Replica) -> list[Maintenance]:
    """Return the windows that are open or planned."""
    read = partial(maintenance.planned, now=clock.now())
    return await replica.scheduler.reader.read(read)


def test_a_window_a_week_at_the_same_local_time(tmp_path: Path) -> None:
    """For a year, over both clock changes; during a window it is this one, not the next."""
    recurring, now = loaded(tmp_path), datetime(2026, 1, 1, tzinfo=UTC)
    begins = []
    while now < datetime(2027, 1, 1, tzinfo=UTC):
        window = recurring.next(now)
        assert window is not None
        assert window.ends_at - window.begins_at == timedelta(hours=1)
        assert recurring.next(window.begins_at + timedelta(minutes=59)) == window
        begins.append(window.begins_at)
        now = window.ends_at
    local = [begin.astimezone(BERLIN) for begin in begins if begin.year == 2026]
    assert len(local) == 52
    # On 29 March 02:00 does not exist: it begins when the clock has changed.
    assert {f"{at:%a %H:%M}" for at in local} == {"Sun 02:00", "Sun 03:00"}
    assert [f"{at:%m-%d}" for at in local if at.hour == 3] == ["03-29"]


async def test_each_window_is_stored_once(start: Start, tmp_path: Path) -> None:
    """Over passes and replicas; one that a person ended does not come back."""
    recurring = loaded(tmp_path)
    async with start("one") as first, start("two") as second:
        for replica in (first, second, first):
            replica.scheduler.windows = (recurring,)
            await replica.scheduler.pass_once()
        (window,) = await planned(first)
        assert (window.target, window.owner, window.reason) == (
            "alpha",
            "schedule patches",
            "OS patches",
        )
        end = partial(maintenance.end, key=window.id, owner="ada", now=clock.now())
        await first.scheduler.writer.run(end)
        for replica in (first, second):
            replica.scheduler._planned = set()
            await replica.scheduler.pass_once()
        assert await planned(first) == []


@pytest.mark.parametrize(
    ("every", "expression"),
    [
        ("Sun 02:00", "0 2 * * sun"),
        ("mon-fri  6:30", "30 6 * * mon-fri"),
        ("Sat,Sun 23:59", "59 23 * * sat,sun"),
        ("day 04:05", "5 4 * * *"),
        ("0 2 * * 0", "0 2 * * 0"),
        ("Sun 24:00", "Sun 24:00"),
        ("Someday 02:00", "Someday 02:00"),
    ],
)
def test_days_and_a_time_are_a_cron_expression(every: str, expression: str) -> None:
    """Anything else is left for the parser of cron to accept or refuse."""
    assert cron_of(every) == expression


@settings(max_examples=10, deadline=None)
@given(
    zone=st.sampled_from(
        ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")
    ),
    day=st.sampled_from(DAYS),
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
    seconds=st.integers(60, 6 * 86400),
)
def test_a_year_of_windows(zone: str, day: str, hour: int, minute: int, seconds: int) -> None:
    """One each week, of the whole length, none twice; a skipped time begins after the gap."""
    weekly = ordered(order(every=f"{day} {hour:02}:{minute:02}", zone=zone, seconds=seconds))
    local = ZoneInfo(zone)
    end, beginnings = NEW_YEAR, []
    while True:
        window = weekly.next(end)
        assert window is not None
        if window.begins_at >= datetime(2027, 1, 1, tzinfo=UTC):
            break
        assert window.ends_at - window.begins_at == timedelta(seconds=seconds)
        assert weekly.next(window.ends_at - timedelta(seconds=1)) == window
        begins = window.begins_at.astimezone(local)
        beginnings.append(begins)
        assert DAYS[begins.weekday()] == day
        wanted = begins.replace(hour=hour, minute=minute, fold=0)
        exists = wanted.astimezone(UTC).astimezone(local).replace(fold=0) == wanted
        assert begins == wanted if exists else begins > wanted.replace(tzinfo=local)
        end = window.ends_at
    assert len(beginnings) in {52, 53}
    assert len({f"{at:%G-%V}" for at in beginnings}) == len(beginnings)


def test_an_order_begins_with_its_next_window() -> None:
    """A window that would be open at the time of the order is not made up afterwards."""
    sunday = datetime(2026, 1, 4, 1, 30, tzinfo=UTC)  # 02:30 in Berlin
    window = ordered(order(created_at=sunday)).next(sunday)
    assert window is not None
    assert window.begins_at == datetime(2026, 1, 11, 1, tzinfo=UTC)


async def test_an_order_is_planned_until_it_is_ended(start: Start) -> None:
    """By any replica; its window goes with it."""
    async with start("one") as first, start("two") as second:
        refused = order(zone="Mars", owner="eve")  # say, by a newer release
        for given in (refused, order(created_at=clock.now())):
            place = partial(maintenance.order_recurring, order=given)
            stored = await first.scheduler.writer.run(place)
        for replica in (first, second, first):
            await replica.scheduler.pass_once()
        (window,) = await planned(first)
        assert (window.target, window.owner) == ("alpha", stored.owner_of_windows)
        end = partial(maintenance.end_recurring, key=stored.id, owner="bob", now=clock.now())
        assert (await first.scheduler.writer.run(end)) == stored
        assert (await first.scheduler.writer.run(end)) is None
        assert await planned(first) == []
        late = partial(maintenance.plan_recurring, key=stored.id, window=window, now=clock.now())
        assert await second.scheduler.writer.run(late) is None
        for replica in (first, second):
            replica.scheduler._planned = set()
            await replica.scheduler.pass_once()
        assert await planned(first) == []


@pytest.mark.parametrize(
    ("over", "key"),
    [
        ({"every": "Someday 02:00"}, "every"),
        ({"every": "XNYS close"}, "every"),
        ({"zone": "Mars"}, "zone"),
        ({"seconds": 8 * 86400}, "for"),
        ({"every": "day 02:00", "seconds": 86400}, "for"),
        ({"every": "Mon-Fri 02:00", "seconds": 2 * 86400}, "for"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(over: dict[str, Any], key: str) -> None:
    """Also one whose windows would leave no time for remediation."""
    with pytest.raises(ConfigError) as error:
        ordered(order(**over))
    assert error.value.key == key


def test_without_the_file_there_is_none(tmp_path: Path) -> None:
    """It is optional."""
    assert load_windows(tmp_path, make_registry(alpha="127.0.0.1:1")) == Loaded()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("windows: [", FILE),
        ("windows: {a: {}}", "every"),
        ('windows: {a: {every: "0 2 * *", for: 1h, reason: x}}', "windows.a.every"),
        ('windows: {a: {every: "0 2 * * 0", for: 8d, reason: x}}', "windows.a.for"),
        ('windows: {a: {every: "0 2 * * 0", for: 0s, reason: x}}', "windows.a.for"),
        (
            'windows: {a: {every: "0 2 * * 0", for: 1h, reason: x, target: other}}',
            "windows.a.target",
        ),
        ('windows: {a: {every: "0 2 * * 0", for: 1h, reason: x, zone: Mars}}', "windows.a.zone"),
        ("windows: {a: {every: day 02:00, for: 1d, reason: x}}", "windows.a.for"),
        ("windows: {a: {every: XNYS close, for: 1h, reason: x}}", "windows.a.every"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, named: str) -> None:
    """With the file and the key; the reconciler starts all the same."""
    (tmp_path / FILE).write_text(text)
    found = load_windows(tmp_path, make_registry(alpha="127.0.0.1:1"))
    assert found.windows == ()
    (error,) = found.refused
    assert named in str(error)


def test_a_mistake_leaves_out_no_other_window(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(f"{WEEKLY}  other: {{every: Someday, for: 1h, reason: x}}\n")
    found = load_windows(tmp_path, make_registry(alpha="127.0.0.1:1"))
    assert [window.owner for window in found.windows] == ["schedule patches"]
    assert [error.key for error in found.refused] == ["windows.other.every"]


@pytest.mark.parametrize("today", ["2026-01-01", "2026-03-20", "2026-07-01", "2026-10-20"])
def test_a_window_is_valid_in_every_season(tmp_path: Path, today: str) -> None:
    """A start shortly before the clock is set forward refuses nothing that was accepted before."""
    text = "windows: {night: {every: day 02:00, zone: Europe/Berlin, for: 23h30m, reason: x}}"
    with freeze_time(datetime.fromisoformat(today).replace(tzinfo=UTC)):
        assert loaded(tmp_path, text).length == timedelta(hours=23, minutes=30)


@pytest.mark.parametrize("of_the_file", [True, False])
async def test_an_invalid_window_is_alerted_on(start: Start, *, of_the_file: bool) -> None:
    """Until it is corrected, or ended."""
    name = {"name": "maintenance_windows"}
    async with start() as replica:
        scheduler, failing = replica.scheduler, "trading_ops_job_failing"
        await scheduler.pass_once()
        assert replica.registry.get_sample_value(failing, name) == 0
        scheduler.refused_windows = int(of_the_file)
        if not of_the_file:
            place = partial(maintenance.order_recurring, order=order(zone="Mars"))
            await scheduler.writer.run(place)
        await scheduler.pass_once()
        assert replica.registry.get_sample_value(failing, name) == 1


async def test_an_invalid_entry_of_jobs_yml_is_alerted_on(start: Start) -> None:
    name = {"name": "jobs.yml"}
    async with start() as replica:
        scheduler, failing = replica.scheduler, "trading_ops_job_failing"
        await scheduler.pass_once()
        assert replica.registry.get_sample_value(failing, name) == 0
        scheduler.refused_entries = 1
        await scheduler.pass_once()
        assert replica.registry.get_sample_value(failing, name) == 1


@pytest.mark.parametrize(("today", "count"), [("2026-03-01", 0), ("2027-03-02", 1)])
async def test_a_window_that_is_far_away_is_planned_when_it_is_near(
    start: Start, today: str, count: int
) -> None:
    """The store refuses one more than a year ahead, such as the next leap day; it is not lost."""
    with freeze_time(datetime.fromisoformat(today).replace(tzinfo=UTC)):
        async with start() as replica:
            place = partial(maintenance.order_recurring, order=order(every="0 2 29 2 *"))
            await replica.scheduler.writer.run(place)
            await replica.scheduler.pass_once()
            assert len(await planned(replica)) == count
            assert len(replica.scheduler._planned) == count
