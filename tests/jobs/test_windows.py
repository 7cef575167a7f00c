"""Maintenance windows that come again: planned once each, also over a clock change."""

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.builders import make_registry
from tests.jobs.conftest import Replica, Start
from trading_ops import clock
from trading_ops.domain.maintenance import Maintenance
from trading_ops.errors import ConfigError
from trading_ops.jobs.windows import FILE, Recurring, load_windows
from trading_ops.store import maintenance

BERLIN = ZoneInfo("Europe/Berlin")
WEEKLY = """\
windows:
  patches: {every: "0 2 * * 0", zone: Europe/Berlin, for: 1h, target: alpha, reason: OS patches}
"""


def loaded(folder: Path, text: str = WEEKLY) -> Recurring:
    """Return the only entry of a file."""
    (folder / FILE).write_text(text)
    (window,) = load_windows(folder, make_registry(alpha="127.0.0.1:1"))
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


def test_without_the_file_there_is_none(tmp_path: Path) -> None:
    """It is optional."""
    assert load_windows(tmp_path, make_registry(alpha="127.0.0.1:1")) == ()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("windows: [", FILE),
        ("windows: {a: {}}", "every"),
        ('windows: {a: {every: "0 2 * *", for: 1h, reason: x}}', "windows.a.schedule"),
        ('windows: {a: {every: "0 2 * * 0", for: 8d, reason: x}}', "windows.a.for"),
        ('windows: {a: {every: "0 2 * * 0", for: 0s, reason: x}}', "windows.a.for"),
        (
            'windows: {a: {every: "0 2 * * 0", for: 1h, reason: x, target: other}}',
            "windows.a.target",
        ),
        ('windows: {a: {every: "0 2 * * 0", for: 1h, reason: x, zone: Mars}}', "windows.a.zone"),
        ("windows: {a: {every: XNYS close, for: 1h, reason: x}}", "windows.a.every"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, named: str) -> None:
    """With the file and the key."""
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, text)
    assert named in str(error.value)
