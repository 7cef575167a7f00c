"""The spill journal: what is in it is read again, what was torn is not taken for anything."""

import subprocess
import sys
from pathlib import Path

import pytest

from trading_ops.store.journal import Journal

HOSTILE = {
    "id": 'all\n"} 12 deadbeef {"id": "x"}',
    "reason": "\x00\r\n\u2028 ü \ud800 " + "x" * 100_000,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reconciler" / "journal"


def test_what_was_appended_is_read_again(path: Path) -> None:
    """Also by another object, as after a restart, and whatever the texts are."""
    assert Journal(path).entries() == []
    for entry in ({"id": "1", "n": 1}, HOSTILE, {"id": "2", "n": 2}):
        Journal(path).append(entry)
    assert Journal(path).entries() == [{"id": "1", "n": 1}, HOSTILE, {"id": "2", "n": 2}]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_forgotten_is_gone_and_the_rest_stays(path: Path) -> None:
    """Forgetting twice, or what never was, changes nothing."""
    journal = Journal(path)
    journal.forget({"nothing"})
    for number in range(4):
        journal.append({"id": str(number)})
    journal.forget({"1", "3"})
    journal.forget({"1", "never"})
    assert [entry["id"] for entry in journal.entries()] == ["0", "2"]
    journal.forget({"0", "2"})
    assert journal.entries() == []
    journal.append({"id": "4"})
    assert journal.entries() == [{"id": "4"}]


@pytest.mark.parametrize("cut", range(1, 34))
def test_a_torn_last_line_is_no_entry_and_hides_none(path: Path, cut: int) -> None:
    """A crash in the middle of a write, at each byte: the earlier and the later ones count."""
    journal = Journal(path)
    journal.append({"id": "before"})
    end = path.stat().st_size
    journal.append({"id": "torn", "n": "123"})
    original = path.read_bytes()
    assert len(original) - end > 34
    path.write_bytes(original[: end + cut])
    assert [entry["id"] for entry in Journal(path).entries()] == ["before"]
    Journal(path).append({"id": "after"})
    Journal(path).forget({"never"})
    assert [entry["id"] for entry in Journal(path).entries()] == ["before", "after"]


def test_a_damaged_line_is_left_out_and_kept_as_evidence(path: Path) -> None:
    """One flipped bit, a line of something else: the others are read, nothing is dropped."""
    journal = Journal(path)
    for name in ("a", "b", "c"):
        journal.append({"id": name})
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"b"', b'"x"')
    path.write_bytes(b"".join([*lines, b"rubbish\n", b"2 0 []\n"]))
    assert [entry["id"] for entry in journal.entries()] == ["a", "c"]
    journal.forget({"a"})
    assert [entry["id"] for entry in journal.entries()] == ["c"]
    assert lines[1] in path.read_bytes()


def test_what_cannot_be_stored_is_an_error_and_harms_nothing(tmp_path: Path) -> None:
    """No folder can be made: it is reported to the caller."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="File exists"):
        Journal(tmp_path / "file" / "journal").append({"id": "1"})
    folder = tmp_path / "journal"
    folder.mkdir()
    with pytest.raises(OSError, match="directory"):
        Journal(folder).entries()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from trading_ops.store.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
journal = Journal(Path(sys.argv[1]))
try:
    journal.append({"id": "long", "reason": "x" * 1000})
except OSError as error:
    print("refused:", error.strerror)
print([entry["id"] for entry in journal.entries()])
journal.append({"id": "short"})
"""


def test_a_full_disk_leaves_no_half_entry(path: Path) -> None:
    """A write that stops in the middle is an error, and what it left is cut off again."""
    Journal(path).append({"id": "first"})
    size = path.stat().st_size
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.splitlines() == ["refused: File too large", "['first']"]
    assert [entry["id"] for entry in Journal(path).entries()] == ["first", "short"]
    assert path.read_bytes()[:size].count(b"\n") == 1
    assert b"xxx" not in path.read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
from trading_ops.store.journal import Journal
journal = Journal(Path(sys.argv[1]))
for number in range(50):
    journal.append({"id": str(number)})
    os.write(1, b"%d\\n" % number)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    """SIGKILL right after the last append: all that returned is there."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == -9
    assert [entry["id"] for entry in Journal(path).entries()] == done.stdout.split()
