"""What the exporter counts of real log files that grow, are rotated, and are not what they seem."""

import asyncio
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_ops import clock
from trading_ops.exporter.collector import PolledSource
from trading_ops.exporter.config import LogFilesEntry
from trading_ops.exporter.log_files import folder as folder_module
from trading_ops.exporter.log_files.lines import LEVELS, LONGEST_LINE_BYTES, Lines, level_of
from trading_ops.exporter.log_files.source import LogFiles


def line(level: str = "info", **more: object) -> bytes:
    moment = clock.now().isoformat()
    return json.dumps({"event": "x", "level": level, "at": moment, **more}).encode() + b"\n"


def append(path: Path, *lines: bytes) -> int:
    """Write and return how many bytes."""
    with path.open("ab") as file:
        return sum(file.write(text) for text in lines)


class Reader:
    """A source, and what a scrape has after each reading."""

    def __init__(self, *paths: Path, **named: Any) -> None:
        self.source = LogFiles(LogFilesEntry(name="bot", paths=paths, **named))
        self.watched = PolledSource(self.source)

    async def read(self) -> dict[str, float]:
        async with asyncio.timeout(120):
            await self.watched.once()
        found = {}
        for family in self.watched.figures():
            for sample in family.samples:
                labels = list(sample.labels.values())
                assert labels[0] == "bot"
                name = sample.name.removeprefix("trading_log_file_")
                found[":".join([name, *labels[1:]])] = sample.value
        return found


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "bot.log"
    append(path, *[line("error")] * 10)
    return path


@pytest.fixture
def reader(log: Path) -> Reader:
    return Reader(log)


async def test_only_what_is_new_counts(log: Path, reader: Reader) -> None:
    """By level, whole lines only, each once; what was there before the exporter is history."""
    seen = await reader.read()
    assert seen["written_bytes_total"] == seen["lines_total:error"] == 0
    written = append(log, line("info"), line("error"), line("WARN"), b"Traceback\n", line()[:20])
    seen = await reader.read()
    assert seen["written_bytes_total"] == written
    counts = {level: seen[f"lines_total:{level}"] for level in LEVELS}
    assert counts == {
        "debug": 0, "info": 1, "warning": 1, "error": 1, "critical": 0, "other": 1,
    }  # fmt: skip
    assert seen[f"size_bytes:{log}"] == _size(log)
    assert clock.timestamp() - seen[f"modified_timestamp_seconds:{log}"] < 60
    append(log, b"\n")  # the half line is ended: as JSON it is none
    assert (await reader.read())["lines_total:other"] == 2
    assert (await reader.read())["lines_total:other"] == 2


async def test_a_first_look_into_the_middle_of_a_line(log: Path, reader: Reader) -> None:
    """Its end alone says nothing of its level; the next line does."""
    append(log, b"a text with ")
    await reader.read()
    append(log, line("error"), line("critical"))
    seen = await reader.read()
    assert (seen["lines_total:other"], seen["lines_total:critical"]) == (1, 1)


async def test_rotation_by_renaming(log: Path, reader: Reader) -> None:
    """The last lines of the old file are read under its new name, though that one is not ours."""
    await reader.read()
    written = append(log, line("error"))
    _rotate(log)
    written += append(log.with_name("bot.log.1"), line("critical"))
    written += append(log, line("info"), line("info"))
    seen = await reader.read()
    assert seen["written_bytes_total"] == written
    assert [seen[f"lines_total:{level}"] for level in ("info", "error", "critical")] == [2, 1, 1]
    assert seen["rotations_total"] == 1
    assert seen["matched"] == 1
    assert seen["folder_size_bytes"] == _size(log) + _size(log.with_name("bot.log.1"))


async def test_rotation_by_copying(log: Path, tmp_path: Path) -> None:
    """The copy is nothing new, wherever it is put, and the original starts again."""
    reader = Reader(tmp_path / "bot.log*")
    await reader.read()
    written = append(log, line("error"))
    await reader.read()
    shutil.copy(log, tmp_path / "bot.log.1")
    os.truncate(log, 0)
    written += append(log, line("critical"))
    seen = await reader.read()
    assert seen["written_bytes_total"] == written
    assert (seen["lines_total:error"], seen["lines_total:critical"]) == (1, 1)
    assert seen["rotations_total"] == 1
    assert seen["matched"] == 2


async def test_cut_short_and_larger_than_before_at_the_next_look(log: Path, reader: Reader) -> None:
    """Its size alone does not tell; its beginning does."""
    await reader.read()
    os.truncate(log, 0)
    written = append(log, *[line("info", number=number) for number in range(100)])
    seen = await reader.read()
    assert seen["written_bytes_total"] == written
    assert seen["lines_total:info"] == 100


async def test_compressed_files_are_not_read(log: Path, tmp_path: Path) -> None:
    """They fill the disk all the same."""
    reader = Reader(tmp_path / "*")
    await reader.read()
    append(tmp_path / "bot.log.1.gz", b"\x1f\x8b" * 1000)
    seen = await reader.read()
    assert seen["written_bytes_total"] == 0
    assert seen["matched"] == 1
    assert seen["folder_size_bytes"] == _size(log) + 2000


async def test_a_flood_is_counted_and_not_all_read(log: Path) -> None:
    """The newest bytes are; the number of skipped bytes is exported."""
    reader = Reader(log, max_read_bytes=64 * 1024)
    await reader.read()
    written = append(log, *[line("info")] * 5000, line("critical"))
    seen = await reader.read()
    assert seen["written_bytes_total"] == written
    assert seen["unread_bytes_total"] == written - 64 * 1024
    assert 0 < seen["lines_total:info"] < 5000
    assert seen["lines_total:critical"] == 1


async def test_a_line_without_end(log: Path, reader: Reader) -> None:
    """A gigabyte of it costs no memory; its end makes it one line of no level."""
    await reader.read()
    os.truncate(log, 1_000_000_000)
    seen = await reader.read()
    assert seen["written_bytes_total"] > 999_000_000
    assert seen["lines_total:other"] == 0
    for _ in range(3):
        append(log, b"x" * LONGEST_LINE_BYTES)
        assert (await reader.read())["lines_total:other"] == 0
    append(log, b"\n", line("error"))
    seen = await reader.read()
    assert (seen["lines_total:other"], seen["lines_total:error"]) == (1, 1)


async def test_what_is_no_log(log: Path, tmp_path: Path) -> None:
    """Links, pipes, folders and sockets fit the pattern, and are only counted."""
    secret = tmp_path / "elsewhere" / "secret"
    secret.parent.mkdir()
    append(secret, line("error"))
    reader = Reader(tmp_path / "*.log")
    await reader.read()
    (tmp_path / "link.log").symlink_to(secret)
    (tmp_path / "dangling.log").symlink_to(tmp_path / "nothing")
    (tmp_path / "device.log").symlink_to("/dev/zero")
    (tmp_path / "folder.log").mkdir()
    os.mkfifo(tmp_path / "pipe.log")
    append(secret, line("error"))
    seen = await reader.read()
    assert seen["matched"] == 1
    assert seen["dropped:not_regular"] == 5
    assert seen["lines_total:error"] == 0


async def test_a_file_that_becomes_a_link_or_a_pipe(log: Path, tmp_path: Path) -> None:
    """Between its listing and its opening: neither is followed, and neither is waited for."""
    reader = Reader(log)
    await reader.read()
    followed = reader.source._followed
    listing = folder_module.list_files((log,), 20)
    (seen,) = listing.matched
    secret = tmp_path / "secret"
    append(secret, *[line("error")] * 100)
    _replace(log, lambda: log.symlink_to(secret))
    followed._follow(seen, listing)
    assert listing.left_out["unreadable"] == 1
    _replace(log, lambda: os.mkfifo(log))
    followed._follow(seen, listing)
    assert listing.left_out["not_regular"] == 1
    assert followed._totals.written == 0


async def test_many_files(tmp_path: Path) -> None:
    """So many are read, those last written; one that comes among them later is not new."""
    for number in range(30):
        path = tmp_path / f"{number}.log"
        append(path, *[line()] * 100)
        os.utime(path, (1_000_000 + number, 1_000_000 + number))
    reader = Reader(tmp_path / "*.log", max_files=5)
    seen = await reader.read()
    assert (seen["matched"], seen["dropped:too_many"]) == (5, 25)
    written = append(tmp_path / "0.log", line("error"))
    seen = await reader.read()
    assert f"size_bytes:{tmp_path / '0.log'}" in seen
    assert seen["written_bytes_total"] == written
    assert seen["lines_total:error"] == 1
    assert seen["lines_total:info"] == 0


async def test_a_huge_folder(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not more than so many entries of it are looked at."""
    monkeypatch.setattr(folder_module, "LARGEST_FOLDER", 10)
    for number in range(20):
        append(log.with_name(f"{number}.log"), b"x")
    seen = await Reader(log.with_name("*.log")).read()
    assert seen["matched"] <= 10
    assert seen["dropped:too_many"] >= 1


async def test_no_file_and_no_folder(tmp_path: Path, log: Path) -> None:
    """A log that is not there yet is none; a folder that is not there is a failure."""
    seen = await Reader(tmp_path / "later.log").read()
    assert seen["matched"] == 0
    reader = Reader(tmp_path / "nowhere" / "bot.log")
    assert await reader.read() == {}
    assert not reader.watched.up
    assert "nowhere" in reader.watched.problem


async def test_a_file_that_comes_later_is_new_from_its_beginning(tmp_path: Path) -> None:
    """Else its first errors would be lost."""
    reader = Reader(tmp_path / "bot.log")
    await reader.read()
    append(tmp_path / "bot.log", line("critical"))
    seen = await reader.read()
    assert seen["lines_total:critical"] == 1
    assert seen["rotations_total"] == 0


async def test_names_that_were_chosen_to_harm(log: Path) -> None:
    """They become text that one can read, of bounded length."""
    append(log.with_name("a\nb\x07.log"), b"x")
    append(log.with_name(os.fsdecode(b"\xff.log")), b"x")
    long = log.with_name("n" * 240 + ".log")
    append(long, b"x")
    seen = await Reader(log.with_name("*.log")).read()
    names = {name.partition(":")[2] for name in seen if name.startswith("size_bytes:")}
    assert {name.rpartition("/")[2] for name in names} >= {"a?b?.log", "?.log", "bot.log"}
    assert max(map(len, names)) <= 200


def _rotate(path: Path) -> None:
    path.rename(path.with_name("bot.log.1"))


def _replace(path: Path, make: Callable[[], None]) -> None:
    path.unlink()
    make()


def _size(path: Path) -> int:
    return path.stat().st_size


@given(
    st.lists(st.sampled_from([*LEVELS[:5], "", "{", "\x00", "long"]), max_size=30),
    st.randoms(use_true_random=False),
)
def test_lines_are_the_same_however_they_arrive(kinds: list[str], chance: random.Random) -> None:
    """Cut anywhere, every line counts once, under its own level."""
    texts = [_text(kind) for kind in kinds]
    data = b"".join(texts)
    lines = Lines()
    for piece in _pieces(data, chance):
        lines.feed(piece)
    expected = dict.fromkeys(LEVELS, 0)
    for kind in kinds:
        if kind:
            expected[kind if kind in LEVELS else "other"] += 1
    assert lines.counts == expected


def _text(kind: str) -> bytes:
    if kind == "long":
        return b'{"level":"error","x":"' + b"y" * LONGEST_LINE_BYTES + b'"}\n'
    return line(kind) if kind in LEVELS else kind.encode() + b"\n"


def _pieces(data: bytes, chance: random.Random) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        end = at + chance.choice([1, 7, 100, 5000, 100_000])
        yield data[at:end]
        at = end


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[" * 100_000,
        b'{"level": 30}',
        b'{"level": null}',
        b'{"level": "\xff"}',
        b'{"level": "owner"}',
        b'["error"]',
        b'{"message": "\\"level\\": \\"error\\""}',
        b'{"level": "error"',
        b"\x00" * 1000,
        b"2026-01-01 ERROR no JSON",
    ],
)
def test_a_level_that_is_none(text: bytes) -> None:
    """Whatever is in a line, it has one of our levels."""
    assert level_of(text) == "other"
