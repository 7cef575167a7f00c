"""What the exporter says of real SQLite files, and that it leaves no trace on them."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.service.exporter.sqlites import NOBODY_UID, Writer, look, size, source, state, write
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.exporter.config import SqliteEntry
from trading_ops.exporter.databases.sqlite.figures import SqliteFigures, find
from trading_ops.exporter.databases.sqlite.source import Sqlite

FILL = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
    "INSERT INTO t SELECT i, hex(randomblob(200)) FROM n"
)
MODES = ("wal", "delete")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "database's % folder?"
    made.mkdir()
    return made


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "bot.db"


@pytest.fixture(params=MODES)
def writer(request: pytest.FixtureRequest, path: Path) -> Iterator[Writer]:
    with Writer(path) as database:
        database.do(
            f"PRAGMA journal_mode={request.param}", "CREATE TABLE t (a, b)", FILL.format(1000)
        )
        yield database


@pytest.fixture
def in_wal(path: Path) -> Iterator[Writer]:
    with Writer(path) as database:
        database.do("PRAGMA journal_mode=wal", "CREATE TABLE t (a, b)", FILL.format(1000))
        yield database


async def test_a_healthy_file(writer: Writer, path: Path) -> None:
    """Its size and pages are those that the writer knows, with what stands in the WAL as well."""
    seen = await look(source(path))
    assert seen["up"] == seen["tables"] == 1
    assert f"[({seen['pages']:.0f},)]" == writer.do("PRAGMA page_count")
    assert seen["size_bytes"] == size(path)
    assert seen["locked"] == seen["free_ratio"] == 0
    assert clock.timestamp() - seen["modified_timestamp_seconds"] < 60
    mode = writer.do("PRAGMA journal_mode").strip("[](),'")
    assert seen[f"info:{mode}"] == 1
    assert not [name for name in seen if name.startswith("failure")]


async def test_reading_leaves_no_trace(writer: Writer, path: Path, folder: Path) -> None:
    """Neither in the file nor beside it: in use, left open by a crash, and closed."""
    for crash in (False, True):
        if crash:
            writer.kill()
        before = state(folder)
        assert (await look(source(path, check_interval_seconds=60)))["up"] == 1
        assert state(folder) == before
    with Writer(path) as mender:  # reads the WAL in, and closes the database properly
        mender.do("SELECT count(*) FROM t")
    before = state(folder)
    assert set(before) == {"bot.db"}
    assert (await look(source(path, check_interval_seconds=60)))["check_ok"] == 1
    assert state(folder) == before


async def test_the_writer_is_not_disturbed(in_wal: Writer, path: Path) -> None:
    """While it is read again and again, every write passes at once, and the WAL starts again."""
    in_wal.do("PRAGMA busy_timeout=0", "PRAGMA wal_autocheckpoint=0")
    read = source(path)
    for _ in range(20):
        reading = asyncio.create_task(look(read))
        assert in_wal.do("INSERT INTO t VALUES (1, 'x')") == "[]"
        assert (await reading)["up"] == 1
    assert in_wal.do("PRAGMA wal_checkpoint(TRUNCATE)").startswith("[(0,")
    assert (await look(read))["wal_bytes"] == 0


async def test_a_wal_that_has_grown(in_wal: Writer, path: Path) -> None:
    """A reader that never ends keeps it from beginning again."""
    in_wal.do("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (await look(source(path)))["wal_bytes"] == 0
    with Writer(path) as endless:
        endless.do("BEGIN", "SELECT count(*) FROM t")
        in_wal.do(*[FILL.format(1000)] * 5, "PRAGMA wal_checkpoint(PASSIVE)")
        seen = await look(source(path))
        assert seen["wal_bytes"] > 2_000_000
        assert seen["up"] == 1
        assert seen["locked"] == 0


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
async def test_a_lock_that_is_held(writer: Writer, path: Path, lock: str) -> None:
    """Anyone who wants to write is refused; the exporter asks without taking the lock."""
    read = source(path)
    assert (await look(read))["locked"] == 0
    writer.do(lock)
    seen = await look(read)
    assert seen["locked"] == 1
    mode = writer.do("PRAGMA journal_mode").strip("[](),'")
    can_be_read = (mode, lock) != ("delete", "BEGIN EXCLUSIVE")
    assert seen["up"] == can_be_read
    assert ("failure:locked" in seen) is not can_be_read
    assert writer.do("INSERT INTO t VALUES (0, 'mine')") == "[]"
    assert writer.do("COMMIT") == "[]"
    seen = await look(read)
    assert (seen["locked"], seen["up"]) == (0, 1)


async def test_short_locks_are_none(in_wal: Writer, path: Path) -> None:
    """A bot that writes all the time is not one that holds the lock all the time."""
    stopping = threading.Event()

    def write() -> None:
        while not stopping.is_set():
            in_wal.do("BEGIN IMMEDIATE", "INSERT INTO t VALUES (1, 'x')", "COMMIT")

    writing = threading.Thread(target=write)
    writing.start()
    try:
        read = source(path, busy_seconds=60.0)
        assert [(await look(read))["locked"] for _ in range(10)] == [0] * 10
    finally:
        stopping.set()
        writing.join()


async def test_free_pages(writer: Writer, path: Path) -> None:
    """What was deleted stays in the file, and an empty schema is seen."""
    writer.do("DELETE FROM t")
    assert (await look(source(path)))["free_ratio"] > 0.9
    writer.do("DROP TABLE t")
    assert (await look(source(path)))["tables"] == 0


def _closed(path: Path, mode: str) -> bytearray:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.execute("CREATE TABLE t (a, b)")
    connection.execute(FILL.format(1000))
    connection.execute("CREATE INDEX i ON t (b)")
    connection.close()
    return bytearray(path.read_bytes())


DAMAGE: dict[str, Callable[[bytearray], bytes | bytearray]] = {
    "empty of sense": lambda data: b"x" * len(data),
    "half a header": lambda data: data[:50],
    "cut short": lambda data: data[: len(data) // 2],
    "schema": lambda data: data[:100] + b"\xff" * 3000 + data[3100:],
    "zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_corrupt_file(path: Path, mode: str, damage: str) -> None:
    """It is down, and why; what can be read is still exported."""
    write(path, DAMAGE[damage](_closed(path, mode)))
    seen = await look(source(path))
    assert seen["up"] == 0
    assert seen["failure:corrupt"] == 1
    assert seen["size_bytes"] == size(path)
    assert "pages" not in seen


@pytest.mark.parametrize("mode", MODES)
async def test_damage_that_only_a_check_finds(path: Path, mode: str, folder: Path) -> None:
    """A page of an index is spoiled: the schema can be read, and the check says no."""
    data = _closed(path, mode)
    data[-4096:-3996] = b"\xff" * 100
    write(path, data)
    before = state(folder)
    read = source(path, check_interval_seconds=60)
    seen = await look(read)
    assert seen["up"] == 1
    assert seen["check_ok"] == 0
    assert seen["check_timestamp_seconds"] > 0
    assert state(folder) == before
    _closed(path.with_name("whole.db"), mode)
    assert (await look(source(path.with_name("whole.db"), check_interval_seconds=60)))[
        "check_ok"
    ] == 1


async def test_a_check_is_bounded(path: Path) -> None:
    """By the file's size, and by its time; it is not done at each reading."""
    _closed(path, "wal")
    large = source(path, check_interval_seconds=60, max_checked_bytes=1000)
    assert "check_ok" not in await look(large)
    once = source(path, check_interval_seconds=3600)
    first = await look(once)
    assert (await look(once))["check_timestamp_seconds"] == first["check_timestamp_seconds"]
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(FILL.format(40_000))
    connection.close()
    slow = source(path, check_interval_seconds=60, check_seconds=0.01, max_checked_bytes=10**12)
    seen = await look(slow)
    assert seen["up"] == 1
    assert "check_ok" not in seen


async def test_what_is_no_file(folder: Path, path: Path) -> None:
    """Missing, a folder, a pipe that no one writes to, a folder that is a file."""
    read = source(path)
    assert (await look(read))["failure:missing"] == 1
    assert state(folder) == {}
    assert (await look(source(folder)))["failure:not_a_file"] == 1
    os.mkfifo(path)
    async with asyncio.timeout(3):
        assert (await look(read))["failure:not_a_file"] == 1
    assert (await look(source(path / "below")))["failure:missing"] == 1


async def test_a_file_of_no_bytes(path: Path) -> None:
    """It is a database without tables, as one that was emptied is."""
    write(path, b"")
    seen = await look(source(path))
    assert seen["up"] == 1
    assert seen["tables"] == seen["pages"] == seen["size_bytes"] == 0


async def test_a_wal_without_its_shared_memory(in_wal: Writer, path: Path) -> None:
    """As after a copy of the files: someone who may write has to open it first."""
    in_wal.kill()
    path.with_name("bot.db-shm").unlink()
    before = state(path.parent)
    seen = await look(source(path))
    assert seen["up"] == 0
    assert seen["failure:needs_recovery"] == 1
    assert state(path.parent) == before


async def test_a_journal_that_must_be_rolled_back(path: Path, folder: Path) -> None:
    """Left by a crash in the middle of a commit: only who may write can undo it."""
    with Writer(path) as database:
        database.do("CREATE TABLE t (a, b)", FILL.format(1000), "PRAGMA cache_size=1")
        database.do("BEGIN", "UPDATE t SET b = 'half'")
        database.kill()
    assert path.with_name("bot.db-journal").stat().st_size > 0
    before = state(folder)
    seen = await look(source(path))
    assert seen["failure:needs_recovery"] == 1
    assert state(folder) == before


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can look into, and only we can write to."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can switch users")
async def test_as_a_user_who_may_only_read(open_folder: Path) -> None:
    """Another user's database in a folder where we may not write: read, or the error says why."""
    path = open_folder / "bot.db"
    with Writer(path) as database:
        database.do("PRAGMA journal_mode=wal", "CREATE TABLE t (a, b)")
        before = state(open_folder)
        assert set(before) == {"bot.db", "bot.db-wal", "bot.db-shm"}
        assert _found_as_other_user(path) == "None 1"
        assert state(open_folder) == before
    assert _found_as_other_user(path) == "None 1"
    _close_to_others(path)
    assert _found_as_other_user(path) == "permission None"


def _close_to_others(path: Path) -> None:
    path.chmod(0o600)


def _found_as_other_user(path: Path) -> str:
    """Return failure and tables that a process of the user `no one` finds."""
    script = (
        "import os, sys; from pathlib import Path\n"
        "from trading_ops.exporter.config import SqliteEntry\n"
        "from trading_ops.exporter.databases.sqlite.figures import find\n"
        f"os.chdir('/'); os.setgroups([]); os.setgid({NOBODY_UID}); os.setuid({NOBODY_UID})\n"
        "found = find(SqliteEntry(name='bot', path=Path(sys.argv[1])))\n"
        "reason = found.failure.reason if found.failure else None\n"
        "tables = found.values.get('tables')\n"
        "print(reason, tables)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


async def test_a_reading_that_hangs(path: Path) -> None:
    """As on a dead network disk: it costs one thread, and is down until that one ends."""
    _closed(path, "wal")
    released = threading.Event()

    def hang(entry: SqliteEntry) -> SqliteFigures:
        released.wait(30)
        return find(entry)

    read = Sqlite(SqliteEntry(name="bot", path=path, timeout_seconds=1), find=hang)
    threads = threading.active_count()
    try:
        for _ in range(3):
            seen = await look(read)
            assert (seen["up"], seen["failure:too_slow"]) == (0, 1)
        assert threading.active_count() == threads + 1
    finally:
        released.set()

    async def succeeds() -> bool:
        return (await look(read))["up"] == 1

    await eventually(succeeds)
