"""Retention as a table, and as a property: what is restorable is never lost."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_ops.backup.retention import Keep, Kept, to_remove

pytestmark = pytest.mark.processes

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOTHING = Keep(last=1, hourly=0, daily=0, weekly=0, monthly=0)


def taken(minutes_ago: float, *, proven: bool = False) -> Kept:
    at = NOON - timedelta(minutes=minutes_ago)
    return Kept(id=f"{at:%Y%m%dT%H%M%S}", created_at=at, is_restorable=proven)


def ages(backups: list[Kept], keep: Keep) -> list[float]:
    """Return the minutes of those that stay, newest first."""
    gone = set(to_remove(backups, keep))
    stay = [backup for backup in backups if backup.id not in gone]
    return sorted((NOON - backup.created_at) / timedelta(minutes=1) for backup in stay)


def test_nothing_goes_before_a_restore_test_has_passed() -> None:
    assert to_remove([taken(5 * number) for number in range(100)], NOTHING) == []


def test_the_newest_that_can_be_restored_stays_with_all_newer_ones() -> None:
    backups = [taken(0), taken(5), taken(10, proven=True), taken(15), taken(20, proven=True)]
    assert ages(backups, NOTHING) == [0, 5, 10]


def test_the_newest_of_each_day_week_and_month_stays() -> None:
    """Of one backup a day: 1 March is a Sunday, so 22 February ends the week before."""
    day = 24 * 60
    backups = [taken(day * number, proven=True) for number in range(70)]
    keep = Keep(last=1, hourly=0, daily=3, weekly=2, monthly=3)
    assert [age / day for age in ages(backups, keep)] == [0, 1, 2, 7, 29]


def test_the_newest_of_each_hour_stays() -> None:
    backups = [taken(20 * number, proven=True) for number in range(30)]
    assert ages(backups, Keep(last=1, hourly=3, daily=0, weekly=0, monthly=0)) == [0, 20, 80]


@given(
    st.lists(
        st.tuples(st.integers(0, 600_000), st.booleans()),
        min_size=1,
        max_size=60,
        unique_by=lambda pair: pair[0],
    ),
    st.builds(
        Keep,
        last=st.integers(1, 5),
        hourly=st.integers(0, 5),
        daily=st.integers(0, 5),
        weekly=st.integers(0, 5),
        monthly=st.integers(0, 5),
    ),
)
def test_the_newest_backup_and_the_newest_proven_one_always_stay(
    made: list[tuple[int, bool]], keep: Keep
) -> None:
    backups = [taken(age, proven=proven) for age, proven in made]
    gone = to_remove(backups, keep)
    stay = [backup for backup in backups if backup.id not in gone]
    newest = max(backups, key=lambda backup: backup.created_at)
    proven = [backup for backup in backups if backup.is_restorable]
    assert newest in stay
    if proven:
        assert max(proven, key=lambda backup: backup.created_at) in stay
    else:
        assert not gone
    assert to_remove(stay, keep) == []
