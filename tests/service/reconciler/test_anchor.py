"""Anchors: made each minute and at the stop, once for each head, and looked back at."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from tests.builders import NOW
from tests.waiting import eventually
from trading_ops.audit import checkpoint as audit_checkpoint
from trading_ops.audit.checkpoint import Anchors, last_anchor, note_key, parse_anchor
from trading_ops.store import audit_chain, events
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer
from trading_ops.tasks import Tasks

KEY = b"the key"


def add(connection: Connection) -> None:
    events.add(connection, at=NOW, kind="opened", note="a test")


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def writer(url: str) -> Iterator[Writer]:
    writer = Writer(writing_engine(url), KEY)
    writer.start()
    yield writer
    writer.stop()


@pytest.fixture
async def anchors(url: str, tmp_path: Path) -> AsyncIterator[Anchors]:
    reader = Reader(reading_engine(url))
    yield Anchors(path=tmp_path / "audit" / "anchors", key=KEY, reader=reader)
    reader.close()


def lines(anchors: Anchors) -> list[str]:
    return anchors.path.read_text().splitlines() if anchors.path.exists() else []


async def test_the_head_is_anchored_once(anchors: Anchors, writer: Writer) -> None:
    """An empty audit log needs no anchor, and one that did not grow no second one."""
    assert await anchors.anchor_now() is None
    await writer.run(add)
    made = await anchors.anchor_now()
    assert made is not None
    assert made.seq == 1
    assert made.is_signed_by(KEY)
    assert await anchors.anchor_now() is None
    assert lines(anchors) == [made.line]
    assert parse_anchor(made.line) == made == last_anchor(anchors.path)
    assert anchors.path.stat().st_mode & 0o777 == 0o600
    assert anchors.path.parent.stat().st_mode & 0o777 == 0o700


async def test_it_is_anchored_again_and_again_and_at_the_stop(
    anchors: Anchors, writer: Writer
) -> None:
    """What was written last before a clean stop is anchored too."""
    anchors.interval = timedelta(milliseconds=5)
    async with anchors.running(Tasks(on_success=lambda _name, _at: None)):
        for count in (1, 2):
            await writer.run(add)
            await eventually(lambda count=count: len(lines(anchors)) == count)  # type: ignore[misc]
        anchors.interval = timedelta(hours=1)
        await writer.run(add)
    newest = last_anchor(anchors.path)
    assert newest is not None
    assert newest.seq == 3


async def test_the_log_carries_it_even_when_the_disk_does_not(
    anchors: Anchors, writer: Writer
) -> None:
    """A shipped log is a second place; a file that cannot be written is tried again."""
    await writer.run(add)
    anchors.path.mkdir(parents=True)
    with capture_logs() as logged:
        made = await anchors.anchor_now()
    assert made is not None
    assert [line["event"] for line in logged] == ["audit_anchor_failed", "audit_anchored"]
    assert parse_anchor(json.dumps(logged[1])) == made
    anchors.path.rmdir()
    assert await anchors.anchor_now() is not None
    assert len(lines(anchors)) == 1


async def test_a_database_that_does_not_answer_is_no_end(anchors: Anchors, url: str) -> None:
    """It is logged, and tried again."""
    engine = writing_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE chain")
    engine.dispose()
    with capture_logs() as logged:
        assert await anchors.anchor_now() is None
    assert logged[0]["event"] == "audit_anchor_failed"


@pytest.mark.parametrize("restored", [False, True])
async def test_a_start_looks_back_at_the_last_anchor(
    anchors: Anchors, writer: Writer, *, restored: bool
) -> None:
    """When the database is an older one than was anchored, the log says so at once."""
    await writer.run(add)
    if restored:
        newer = audit_chain.Head(5, "ab" * 32)
        audit_checkpoint.append(anchors.path, audit_checkpoint.make_anchor(KEY, newer, NOW))
    else:
        await anchors.anchor_now()
    with capture_logs() as logged:
        await anchors._check_last()
    changed = [line for line in logged if line["event"] == "audit_history_changed"]
    assert [line["found"] for line in changed] == (["no such event"] if restored else [])


async def test_a_history_that_is_changed_later_is_found_within_a_minute(
    anchors: Anchors, writer: Writer, url: str
) -> None:
    """Each round looks at the last anchor before it makes another one."""
    reported = asyncio.Event()
    anchors.on_changed = reported.set
    anchors.interval = timedelta(milliseconds=5)
    for _ in range(3):
        await writer.run(add)
    async with anchors.running(Tasks(on_success=lambda _name, _at: None)):
        await eventually(lambda: len(lines(anchors)) == 1)
        assert not reported.is_set()
        engine = writing_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER events_no_update")
            connection.exec_driver_sql("UPDATE events SET mac = 'x' WHERE seq = 3")
        engine.dispose()
        await asyncio.wait_for(reported.wait(), 60)


async def test_anchored_events_that_were_removed_by_retention_are_no_change(
    anchors: Anchors, writer: Writer
) -> None:
    """The checkpoint vouches for them."""
    reports: list[bool] = []
    anchors.on_changed = lambda: reports.append(True)
    await writer.run(add)
    await anchors.anchor_now()
    for _ in range(3):
        await writer.run(add)
    remove = partial(audit_chain.remove_through, key=KEY, through=2, at=NOW)
    assert await writer.run(remove) == 2
    await anchors._check_last()
    assert reports == []


async def test_a_new_key_is_reported_once(writer: Writer, anchors: Anchors) -> None:
    """The timeline says from which event on which key is needed."""
    await note_key(writer, [KEY])
    await writer.run(add)
    await note_key(writer, [KEY])
    await note_key(writer, [b"newer", KEY])
    stored = await anchors.reader.read(events.latest)
    assert [event.kind for event in stored] == [audit_chain.KEY_CHANGED, "opened"]
    assert "in place of an older one" in stored[0].note
