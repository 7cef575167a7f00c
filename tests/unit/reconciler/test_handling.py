"""The marks of what is being handled, as the next process finds them."""

import uuid
from pathlib import Path

import pytest

from trading_ops.reconciler.crash_recovery import SLOTS, WIDTH, CrashMarks

ONE, OTHER = str(uuid.uuid4()), str(uuid.uuid4())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "handling"


def test_only_what_is_under_way_is_marked(path: Path) -> None:
    """The file is read as the next process would read it after a SIGKILL."""
    with CrashMarks(path) as handling:
        assert handling.left == frozenset()
        with handling.marked((ONE,)):
            with handling.marked((ONE, OTHER)):
                assert marks(path) == {ONE, OTHER}
            assert marks(path) == {ONE}
        assert marks(path) == set()


def test_what_was_left_stays_until_it_is_counted(path: Path) -> None:
    """New marks do not overwrite it, and a second death before the count leaves both."""
    leave(path, ONE)
    with CrashMarks(path) as handling:
        assert handling.left == {ONE}
        with handling.marked((OTHER,)):
            assert marks(path) == {ONE, OTHER}
            handling.clear_left()
            assert (handling.left, marks(path)) == (frozenset(), {OTHER})


def test_more_than_there_is_room_for_is_not_marked(path: Path) -> None:
    """A storm is handled all the same."""
    many = [str(uuid.uuid4()) for _ in range(SLOTS + 1)]
    with CrashMarks(path) as handling:
        with handling.marked(many):
            assert marks(path) == set(many[:SLOTS])
        with handling.marked((ONE,)):
            assert marks(path) == {ONE}


@pytest.mark.parametrize("content", [b"", b"\xff" * 10, b"a\0" * (WIDTH * SLOTS)])
def test_a_damaged_file_is_used_again(path: Path, content: bytes) -> None:
    """What it says is not an incident's id, so nothing is counted."""
    path.parent.mkdir()
    path.write_bytes(content)
    with CrashMarks(path) as handling:
        assert handling.left == frozenset()
        with handling.marked((ONE,)):
            assert ONE in marks(path)
    assert path.stat().st_size == WIDTH * SLOTS


def test_a_file_in_use_is_left_to_its_process(path: Path) -> None:
    """A second reconciler of the same folder counts nothing, and clears no mark."""
    with CrashMarks(path) as first, first.marked((ONE,)), CrashMarks(path) as second:
        assert second.left == frozenset()
        with second.marked((OTHER,)):
            assert marks(path) == {ONE}


def leave(path: Path, key: str) -> None:
    path.parent.mkdir()
    path.write_bytes(key.encode())


def marks(path: Path) -> set[str]:
    content = path.read_bytes()
    found = (content[begin : begin + WIDTH] for begin in range(0, len(content), WIDTH))
    return {mark.decode(errors="replace") for mark in found if any(mark)}
