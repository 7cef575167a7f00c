"""What retention removes is in the archive first, and the audit log continues from it."""

import asyncio
import json
import os
import shutil
import signal
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from tests.backup.kills import CHANGES, WRITING
from tests.builders import NOW
from tests.databases import sqlite_only
from tests.store.conftest import DAY, KEY, Make
from tests.store.test_retention import OLD, YOUNG, incident, orders, verified
from trading_ops.audit.walk import Tampering
from trading_ops.reconciler.retention import KINDS, Retention
from trading_ops.store import audit_chain, events, failpoints, tables
from trading_ops.store.archive import Archive, links_of
from trading_ops.store.engine import sqlite_path, writing_engine
from trading_ops.store.reader import open_reader
from trading_ops.store.writer import Writer, transaction

pytestmark = pytest.mark.processes

ARCHIVED = (
    tables.incidents,
    tables.attempts,
    tables.acknowledgements,
    tables.approvals,
    tables.holds,
    tables.pauses,
    tables.maintenance,
)


def fill(engine: Engine) -> None:
    """Store records of an old and of a young day."""
    for at in (OLD, OLD + DAY, YOUNG):
        with transaction(engine, KEY) as connection:
            incident(connection, at)
            orders(connection, at)
            for number in range(30):
                events.add(connection, at=at, kind="opened", note=f"number {number}")


def stored(engine: Engine) -> dict[str, set[Any]]:
    """Return the id of each row, by table, and the events whole."""
    with engine.connect() as connection:
        found = {
            table.name: set(connection.execute(select(table.c.id)).scalars()) for table in ARCHIVED
        }
        rows = audit_chain.links(connection, after=None, limit=1_000_000)
    return found | {"events": set(map(tuple, rows))}


def archived(folder: Path) -> dict[str, set[Any]]:
    """Return the same of the archive, whose files must be intact."""
    archive = Archive(folder=folder, keys=[KEY])
    found: dict[str, set[Any]] = {table.name: set() for table in ARCHIVED}
    for path in folder.glob("records-*.zip"):
        archive.check(path)
        with zipfile.ZipFile(path) as file:
            for table in ARCHIVED:
                if f"{table.name}.jsonl" in file.namelist():
                    lines = file.read(f"{table.name}.jsonl").splitlines()
                    found[table.name] |= {json.loads(line)["id"] for line in lines}
    found["events"] = set()
    for events_file in archive.event_files():
        archive.check(events_file.path)
        found["events"] |= {tuple(row) for page in links_of(events_file) for row in page}
    return found


def files(folder: Path) -> list[Path]:
    return [file.path for file in Archive(folder=folder, keys=[KEY]).event_files()]


async def test_all_that_is_removed_is_archived(
    url: str, engine: Engine, retention: Make, folder: Path
) -> None:
    """Rows of each table are in a signed file, and the audit log is verified across both."""
    fill(engine)
    before = stored(engine)
    await retention().run_once()
    left, kept = stored(engine), archived(folder)
    for name, rows in before.items():
        assert rows - left[name] == kept[name] & rows, name
        assert rows - left[name], f"{name}: some were old"
    verdict = await verified(url, folder)
    assert verdict.problem is None
    assert (verdict.archived_from, verdict.archived) == (1, verdict.removed)


@pytest.fixture
async def pruned(engine: Engine, retention: Make, folder: Path) -> list[Path]:
    """Files of events of three days, each removed on its own."""
    fill(engine)
    for day in range(3):
        at = OLD + day * DAY
        with transaction(engine, KEY) as connection:
            events.add(connection, at=at, kind="opened", note="of this day")
    for days in (0, 1, 2):
        await retention(OLD + days * DAY + 31 * DAY).run_once()
    found = files(folder)
    assert len(found) >= 2
    return found


def edit(path: Path) -> None:
    """Change one event in a file, and what the manifest says of it."""
    with zipfile.ZipFile(path) as archive:
        names = {name: archive.read(name) for name in archive.namelist()}
    names["events.jsonl"] = names["events.jsonl"].replace(b"number 3", b"number 4", 1)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize("change", [edit, cut, Path.unlink])
async def test_a_change_of_the_archive_is_found(
    url: str, folder: Path, pruned: list[Path], change: Callable[[Path], None]
) -> None:
    """An edited event, half a file, and the removal of the newest file."""
    assert (await verified(url, folder)).problem is None
    change(pruned[0] if change is not Path.unlink else pruned[-1])
    problem = (await verified(url, folder)).problem
    assert problem is not None
    expected = Tampering.REMOVED if change is Path.unlink else Tampering.ARCHIVE_CHANGED
    assert problem.fault is expected


def move(path: Path, to: Path) -> Path:
    """Move a file into a new folder."""
    to.mkdir()
    return Path(shutil.move(path, to))


async def test_old_files_may_be_moved_away(url: str, folder: Path, pruned: list[Path]) -> None:
    """The oldest ones, as they begin at a signed checkpoint; in another folder they count again."""
    other = folder.parent / "cold"
    moved = move(pruned[0], other)
    verdict = await verified(url, folder)
    assert verdict.problem is None
    assert verdict.archived_from == Archive(folder=folder, keys=[KEY]).event_files()[0].first
    both = await verified(url, folder, other)
    assert (both.problem, both.archived_from) == (None, 1), moved


def occupy(folder: Path) -> None:
    """Put a file where the folder would be."""
    folder.write_text("not a folder")


async def test_nothing_is_removed_that_cannot_be_archived(
    engine: Engine, retention: Make, folder: Path
) -> None:
    """A folder that cannot be written keeps the rows; the next run archives and removes them."""
    fill(engine)
    before, problems = stored(engine), dict[str, str]()
    occupy(folder)
    pruning = retention()
    pruning.on_result = problems.__setitem__
    await pruning.run_once()
    left = stored(engine)
    assert all(rows <= left[name] for name, rows in before.items())
    assert {kind for kind in KINDS if problems[kind]} == {"incidents", "orders", "events"}
    shutil.move(folder, folder.with_name("aside"))
    await pruning.run_once()
    assert not any(problems.values())
    assert stored(engine)["incidents"] < before["incidents"]


async def test_the_archive_of_another_database_is_refused(
    engine: Engine, retention: Make, folder: Path
) -> None:
    """Its events have the same numbers: ours would be gone if they counted as archived."""
    fill(engine)
    with engine.connect() as connection:
        rows = audit_chain.links(connection, after=None, limit=50)
    foreign = [audit_chain.Link(*row)._replace(mac="0" * 64) for row in rows]
    Archive(folder=folder, keys=[KEY]).write_events(iter([foreign]))
    problems: dict[str, str] = {}
    pruning = retention()
    pruning.on_result = problems.__setitem__
    before = stored(engine)["events"]
    await pruning.run_once()
    assert "another database" in problems["events"]
    assert before <= stored(engine)["events"]


@sqlite_only
def test_killed_at_each_step_nothing_is_lost(url: str, engine: Engine, folder: Path) -> None:
    """SIGKILL before each change of a file and around each commit, on a fresh copy each time."""
    fill(engine)
    before = stored(engine)
    engine.dispose()
    database = sqlite_path(url)
    assert database is not None
    kills = 0
    for nth in range(1, 1_000):
        shutil.rmtree(folder, ignore_errors=True)
        copy = database.with_name(f"copy-{nth}.db")
        shutil.copyfile(database, copy)
        if not killed_at(nth, f"sqlite:///{copy}", folder):
            break
        kills += 1
        look(f"sqlite:///{copy}", folder, before, f"killed at step {nth}")
        assert not killed_at(0, f"sqlite:///{copy}", folder), "the next run ends"
        look(f"sqlite:///{copy}", folder, before, f"after a kill at step {nth}")
        copy.unlink()
    assert kills >= 20


def look(url: str, folder: Path, before: dict[str, set[Any]], when: str) -> None:
    """Check that each record is in the database or in the archive, and the audit log whole."""
    copy = writing_engine(url)
    try:
        left, kept = stored(copy), archived(folder)
    finally:
        copy.dispose()
    for name, rows in before.items():
        assert rows <= left[name] | kept[name], (name, when)
    verdict = asyncio.run(verified(url, folder))
    assert verdict.problem is None, when
    if verdict.removed:
        assert (verdict.archived_from, verdict.archived) == (1, verdict.removed), when


def killed_at(nth: int, url: str, folder: Path) -> bool:
    """Run retention in a child that kills itself at its n-th step; 0: never. Was it killed?"""
    child = os.fork()
    if child == 0:
        _live(nth, url, folder)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "retention failed"
    return False


def _live(nth: int, url: str, folder: Path) -> None:
    failed = True
    try:
        writer = Writer(writing_engine(url))
        writer.start()
        with open_reader(url) as reader:
            problems: dict[str, str] = {}
            pruning = Retention(
                writer=writer,
                reader=reader,
                archive=Archive(folder=folder, keys=[KEY]),
                notifications_kept=7 * DAY,
                incidents_kept=30 * DAY,
                messages_kept=30 * DAY,
                bot_events_kept=30 * DAY,
                bot_events_kept_rows=1_000,
                events_kept=30 * DAY,
                on_result=problems.__setitem__,
                pause_seconds=0.0,
                now=lambda: NOW,
            )
            steps = iter(range(1, 1_000_000))
            failpoints.watch(lambda reached: _step(steps, nth, reached in _COMMITS))
            sys.addaudithook(lambda event, arguments: _step(steps, nth, _changes(event, arguments)))
            asyncio.run(pruning.run_once())
        writer.stop()
        failed = any(problems.values())
    finally:
        os._exit(1 if failed else 0)


_COMMITS = {failpoints.Failpoint.COMMIT_BEFORE, failpoints.Failpoint.COMMIT_AFTER}


def _changes(event: str, arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2] if event == "open" else 0
    return event in CHANGES or bool(isinstance(flags, int) and flags & WRITING)


def _step(steps: Iterator[int], nth: int, counts: bool) -> None:
    if counts and next(steps) == nth:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_scratch_file_of_a_crash_is_no_archive(folder: Path) -> None:
    """Clean-up removes it; until then it must not count."""
    folder.mkdir()
    (folder / ".events.1.new").write_bytes(b"half")
    assert Archive(folder=folder, keys=[KEY]).event_files() == []
