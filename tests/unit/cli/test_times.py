"""Times for display: local, with the UTC offset."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trading_ops.cli.times import moment

COMMANDS = Path(__file__).parents[3] / "trading_ops" / "cli"


@pytest.fixture(autouse=True)
def in_kolkata(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock that is no one's default."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_moment_is_local_and_has_its_offset() -> None:
    """Anyone who reads it elsewhere is not misled."""
    assert moment(datetime(2026, 3, 1, 12, tzinfo=UTC)) == "2026-03-01 17:30:00+05:30"


def test_every_command_writes_moments_so() -> None:
    """None has a way of its own."""
    own = [path.name for path in COMMANDS.glob("*.py") if "strftime" in path.read_text()]
    assert own == []
