"""The log file: no line is lost or duplicated by moving, compressing, or someone else's hands."""

import os
import tempfile
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.logs.reading import lines_of
from trading_ops.config.log_policy import LogPolicy
from trading_ops.logs.file import LogFile
from trading_ops.logs.rotation import compress, files_aside, move_aside, prune, tidy

HOUR = 3600.0
BEGIN = 1_750_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> float:
        return self.now


def opened(folder: Path, clock: Clock, **policy: float) -> LogFile:
    return LogFile(folder / "bot.log", LogPolicy(**policy), timestamp=clock)  # type: ignore[arg-type]


def put(file: LogFile, *lines: str) -> None:
    file.write(deque(f"{line}\n".encode() for line in lines))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.lists(st.integers(1, 400), min_size=1, max_size=8)),
        st.tuples(st.just("wait"), st.lists(st.integers(-7200, 7200), min_size=1, max_size=1)),
        st.tuples(st.sampled_from(["tend", "reopen", "moved_by_others"]), st.just([])),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_every_line_is_kept_once_and_in_order(steps: list[tuple[str, list[int]]]) -> None:
    """Whatever the sizes, the clock (which may be set back), restarts and renames by others."""
    with tempfile.TemporaryDirectory() as name:
        folder, clock = Path(name), Clock()
        policy = {"file_bytes": 1000, "file_seconds": HOUR, "kept_seconds": 1e9}
        file = opened(folder, clock, **policy)
        written: list[str] = []
        moved: list[Path] = []
        for what, numbers in steps:
            if what == "write":
                new = [f"{len(written) + n}:{'x' * size}" for n, size in enumerate(numbers)]
                put(file, *new)
                written += new
            elif what == "wait":
                clock.now += numbers[0]
            elif what == "tend":
                file.tend()
            elif what == "reopen":
                file.wait_tidied()
                file.close()
                file = opened(folder, clock, **policy)
            elif (folder / "bot.log").exists():
                moved.append((folder / "bot.log").rename(folder / f"by-hand-{len(moved)}"))
        file.wait_tidied()
        file.close()
        found = lines_of(folder / "bot.log")
        found += [line for path in moved for line in path.read_text().splitlines()]
        assert sorted(found, key=lambda line: int(line.partition(":")[0])) == written
        assert all(path.stat().st_size <= 1000 for path in files_aside(folder))


def test_a_large_file_is_moved_and_the_one_before_compressed(tmp_path: Path) -> None:
    """The newest one stays plain, for anyone who follows it."""
    file = opened(tmp_path, Clock(), file_bytes=100)
    for number in range(4):
        put(file, f"{number}" * 60)
        file.wait_tidied()
    file.close()
    aside = files_aside(tmp_path)
    assert [path.suffix == ".gz" for path in aside] == [True, True, False]
    assert [line[0] for line in lines_of(tmp_path / "bot.log")] == ["0", "1", "2", "3"]


def test_an_old_file_is_moved_without_a_line(tmp_path: Path) -> None:
    """A file holds one day, also across a restart; an empty one stays."""
    clock = Clock()
    file = opened(tmp_path, clock, file_seconds=24 * HOUR)
    clock.now += 25 * HOUR
    file.tend()
    assert files_aside(tmp_path) == []
    put(file, "one")
    os.utime(tmp_path / "bot.log", (clock.now, clock.now))
    file.close()
    clock.now += 24 * HOUR
    file = opened(tmp_path, clock, file_seconds=24 * HOUR)
    file.tend()
    put(file, "two")
    file.close()
    assert [path.read_text() for path in files_aside(tmp_path)] == ["one\n"]
    assert (tmp_path / "bot.log").read_text() == "two\n"


def test_a_line_that_a_kill_cut_short_does_not_swallow_the_next(tmp_path: Path) -> None:
    """What is written next starts a line of its own."""
    (tmp_path / "bot.log").write_text('{"event": "ha')
    file = opened(tmp_path, Clock())
    put(file, "whole")
    file.close()
    assert lines_of(tmp_path / "bot.log") == ['{"event": "ha', "whole"]


def test_a_line_longer_than_a_file_is_kept(tmp_path: Path) -> None:
    """A limit of bytes is not a reason to lose a line."""
    file = opened(tmp_path, Clock(), file_bytes=100)
    put(file, "a" * 500, "b")
    file.wait_tidied()
    file.close()
    assert lines_of(tmp_path / "bot.log") == ["a" * 500, "b"]


def test_the_folder_is_bounded_and_nothing_else_is_touched(tmp_path: Path) -> None:
    """The oldest go first, anyone who moved them; live logs and strangers' files stay."""
    clock = Clock()
    for name in ("prometheus.log", "bot.log.1", "bot.log.bak", "notes.txt"):
        (tmp_path / name).write_bytes(b"x" * 200)
    for index in range(10):
        log = tmp_path / ("bot.log" if index % 2 else "venue.log")
        log.write_bytes(b"y" * 100)
        clock.now += 1
        move_aside(log, clock.now)
    policy = LogPolicy(folder_bytes=1250)
    prune(policy, tmp_path, clock.now)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1250
    assert len(files_aside(tmp_path)) == 4
    assert all((tmp_path / name).exists() for name in ("prometheus.log", "bot.log.1", "notes.txt"))
    for path in files_aside(tmp_path)[:2]:
        os.utime(path, (0, clock.now - 31 * 86_400))
    prune(policy, tmp_path, clock.now)
    assert len(files_aside(tmp_path)) == 2


def test_a_flooding_log_does_not_remove_another(tmp_path: Path) -> None:
    """The oldest file of all is a small one of the reconciler's: the flood's own files go."""
    clock = Clock()
    for name, size in (("reconciler.log", 100), *(("bot.log", 1000),) * 5):
        log = tmp_path / name
        log.write_bytes(b"y" * size)
        clock.now += 1
        move_aside(log, clock.now)
    prune(LogPolicy(folder_bytes=1200), tmp_path, clock.now)
    left = [path.name.partition(".log")[0] for path in files_aside(tmp_path)]
    assert left == ["reconciler", "bot"]


def test_two_moves_in_one_moment_are_two_files(tmp_path: Path) -> None:
    """Also when the first is compressed already, and when the clock stands still."""
    log = tmp_path / "bot.log"
    for number in range(3):
        log.write_text(f"{number}\n")
        compress(move_aside(log, BEGIN))
    assert lines_of(log) == ["0", "1", "2"]


def test_compressing_follows_no_link(tmp_path: Path) -> None:
    """Anyone who may write in the folder cannot have another file overwritten."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    victim.chmod(0o600)
    log = tmp_path / "bot.log"
    log.write_text("line\n")
    log.chmod(0o644)
    aside = move_aside(log, BEGIN)
    aside.with_name(f"{aside.name}.gz.part").symlink_to(victim)
    compress(aside)
    assert victim.read_text() == "mine"
    assert victim.stat().st_mode & 0o777 == 0o600
    assert lines_of(log) == ["line"]


def test_a_link_in_the_place_of_a_log_is_not_written_to(tmp_path: Path) -> None:
    """Anyone who may write in the folder cannot have lines appended to another file."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "bot.log").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        opened(tmp_path, Clock())
    assert victim.read_text() == "mine"


def test_what_died_while_it_compressed_is_taken_up(tmp_path: Path) -> None:
    """A half `.gz` is removed, and the plain file it was made of compressed again."""
    log = tmp_path / "bot.log"
    for number in range(3):
        log.write_text(f"{number}\n")
        aside = move_aside(log, BEGIN + number)
        if number == 0:
            aside.with_name(f"{aside.name}.gz.part").write_bytes(b"\x1f\x8b half")
    tidy(LogPolicy(kept_seconds=1e10), tmp_path, "bot.log", BEGIN)
    assert lines_of(log) == ["0", "1", "2"]
    assert list(tmp_path.glob("*.part")) == []
    assert len(list(tmp_path.glob("*.gz"))) == 2


def test_a_file_that_cannot_be_moved_is_written_on(tmp_path: Path) -> None:
    """A folder that became read-only, or a name that is taken: lines go on in the old file."""
    file = LogFile(tmp_path / "bot.log", LogPolicy(file_bytes=50), timestamp=lambda: 1e18)
    put(file, "a" * 40, "b" * 40)  # a moment that no name can hold
    file.close()
    assert (tmp_path / "bot.log").read_text() == f"{'a' * 40}\n{'b' * 40}\n"
