"""A new log file on demand, and room on the disk: nothing but what the policy owns is touched."""

import gzip
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.logs.reading import lines_of
from trading_ops import clock
from trading_ops.config.log_policy import LogPolicy
from trading_ops.exporter.config import LogFilesEntry
from trading_ops.exporter.log_files.follower import LogFollower
from trading_ops.logs.file import LogFile
from trading_ops.logs.handler import FileHandler
from trading_ops.logs.rotation import files_aside, folder_bytes
from trading_ops.logs.tidying import SCARCE_PART, free, rotate

WITHIN = 30.0
BOUND = 40_000


@pytest.fixture
def handler(tmp_path: Path) -> Iterator[FileHandler]:
    """A log with a bound of its folder."""
    handler = FileHandler(LogFile(tmp_path / "bot.log", LogPolicy(folder_bytes=BOUND)))
    yield handler
    handler.close()


def say(handler: FileHandler, text: str) -> None:
    handler.handle(logging.makeLogRecord({"msg": text, "levelno": logging.INFO}))


def noise(size: int) -> str:
    return os.urandom(size // 2).hex()


def test_a_new_file_is_begun_and_the_earlier_one_compressed(
    handler: FileHandler, tmp_path: Path
) -> None:
    """What was logged before it is in the old file, and no line is lost; an exporter counts it."""
    seen = LogFollower(LogFilesEntry(name="bot", paths=(tmp_path / "bot.log",)))
    seen.read()
    done = []
    for number in range(3):
        say(handler, f"line {number}")
        done.append(rotate(handler, WITHIN))
        say(handler, f"after {number}")
        handler.drain(WITHIN)
        rotated = seen.read().totals.rotations
        assert rotated == number + 1
    assert [file.compressed for file in done] == [0, 1, 1]
    aside = files_aside(tmp_path)
    assert [path.suffix == ".gz" for path in aside] == [True, True, False]
    assert done[-1].aside == aside[-1]
    assert aside[-1].read_text() == "after 1\nline 2\n"
    assert done[-1].folder_bytes == sum(path.stat().st_size for path in aside)
    expected = [line for number in range(3) for line in (f"line {number}", f"after {number}")]
    assert lines_of(tmp_path / "bot.log") == expected


def test_an_empty_log_is_kept(handler: FileHandler, tmp_path: Path) -> None:
    """There is nothing to move, and a row of empty files would push full ones out."""
    assert rotate(handler, WITHIN).aside is None
    assert files_aside(tmp_path) == []


def test_a_log_that_cannot_be_moved_is_reported_and_goes_on(
    handler: FileHandler, tmp_path: Path
) -> None:
    """A folder that no one may change: an error for who asked, and the lines are still written."""
    say(handler, "before")
    handler.drain(WITHIN)
    (tmp_path / "bot.log").unlink()
    (tmp_path / "bot.log").mkdir()
    with pytest.raises(OSError, match="the disk does not accept writes"):
        rotate(handler, 0.2)
    (tmp_path / "bot.log").rmdir()
    say(handler, "after")
    handler.drain(WITHIN)
    assert (tmp_path / "bot.log").read_text() == "after\n"


def test_room_is_made_of_what_was_moved_aside_and_of_nothing_else(
    handler: FileHandler, tmp_path: Path
) -> None:
    """The oldest go first, down to a part of the bound; backups, records and live logs stay."""
    stamp = clock.timestamp()
    for day in range(1, 7):
        old = tmp_path / f"other.log.2026010{day}T000000.000000.gz"
        old.write_bytes(gzip.compress(noise(1500).encode()))
        os.utime(old, (stamp, stamp))
    kept = [tmp_path / name for name in ("bot.db.backup", "other.log", "other.log.1", "x.gz")]
    for path in kept:
        path.write_text("mine" * 100)
    say(handler, "a" * 3000)
    rotate(handler, WITHIN)
    say(handler, "live")
    handler.drain(WITHIN)
    before = folder_bytes(tmp_path)
    done = free(handler)
    after = folder_bytes(tmp_path)
    assert done.freed_bytes == before - after > 0
    assert after <= BOUND // SCARCE_PART
    assert done.removed > 0
    assert done.compressed == 1
    assert all(path.exists() for path in kept)
    left = [path.name for path in files_aside(tmp_path)]
    assert "other.log.20260101T000000.000000.gz" not in left
    assert left[-1].startswith("bot.log.")
    assert lines_of(tmp_path / "bot.log") == ["a" * 3000, "live"]
    assert done.free_bytes > 0


def test_nothing_to_remove_is_nothing(handler: FileHandler, tmp_path: Path) -> None:
    """A live log alone, however large, is not ours to cut."""
    say(handler, noise(BOUND))
    handler.drain(WITHIN)
    done = free(handler)
    assert (done.freed_bytes, done.removed, done.compressed) == (0, 0, 0)
    assert (tmp_path / "bot.log").stat().st_size > BOUND // SCARCE_PART
