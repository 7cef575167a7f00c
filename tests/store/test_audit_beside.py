"""The timeline is verified while it is being written, on each database, and after a bad end."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from tests.builders import NOW
from tests.waiting import eventually
from trading_ops.audit.checkpoint import Anchors
from trading_ops.audit.report import AnchorBook, ChainVerdict, read_anchors, verify
from trading_ops.audit.walk import Tampering
from trading_ops.store import events
from trading_ops.store.reader import Reader, open_reader
from trading_ops.store.writer import Writer

KEYS = [b""]
"""What the fixture's writer uses."""


def add(connection: Connection) -> None:
    for number in range(7):
        events.add(connection, at=NOW, kind="opened", note=f"number {number}")


async def test_a_growing_log_is_complete_at_every_moment(
    writer: Writer, reading: Engine, tmp_path: Path
) -> None:
    """Neither rows that come between two looks nor anchors made meanwhile are a fault."""
    reader = Reader(reading)
    anchors = Anchors(path=tmp_path / "anchors", key=KEYS[0], reader=reader)

    verdicts: list[ChainVerdict] = []

    async def write() -> None:
        for _ in range(3):
            for _ in range(20):
                await asyncio.gather(*(writer.run(add) for _ in range(3)))
                await anchors.anchor_now()
            # The second from now starts after the last row.
            await more_verdicts(len(verdicts) + 2)

    async def more_verdicts(count: int) -> None:
        await eventually(lambda: len(verdicts) >= count, within=60)

    writing = asyncio.create_task(write())
    while not writing.done():
        book = read_anchors([anchors.path], KEYS)
        verdicts.append(await verify(reader, KEYS, book, batch_size=11))
    await writing
    verdicts.append(await verify(reader, KEYS, read_anchors([anchors.path], KEYS)))
    assert [verdict.problem for verdict in verdicts if verdict.problem] == []
    assert len({verdict.verified for verdict in verdicts}) > 2, "it did grow meanwhile"
    assert (verdicts[-1].verified, verdicts[-1].unanchored) == (60 * 3 * 7, 0)


GUARDS = {
    "sqlite": ["DROP TRIGGER events_no_update", "DROP TRIGGER events_no_delete"],
    "postgresql": [
        "DROP TRIGGER events_append_only ON events",
        "DROP TRIGGER events_no_delete ON events",
    ],
}


@pytest.mark.parametrize(
    ("change", "fault", "seq"),
    [
        ("UPDATE events SET note = 'nothing' WHERE seq = 9", Tampering.EDITED, 9),
        ("DELETE FROM events WHERE seq = 9", Tampering.REMOVED, 9),
        ("DELETE FROM events WHERE seq > 9", Tampering.TRUNCATED, 10),
        ("UPDATE events SET seq = -9 WHERE seq = 9", Tampering.INSERTED, -9),
    ],
)
async def test_who_gets_past_the_triggers_is_found(
    url: str, writer: Writer, engine: Engine, change: str, fault: Tampering, seq: int
) -> None:
    """The owner of the table can drop its triggers; the chain then shows what was done."""
    for _ in range(3):
        await writer.run(add)
    writer.stop()
    with engine.begin() as connection:
        for guard in GUARDS[connection.dialect.name]:
            connection.execute(text(guard))
        connection.execute(text(change))
    with open_reader(url) as reader:
        verdict = await verify(reader, KEYS, AnchorBook())
    assert verdict.problem is not None
    assert (verdict.problem.fault, verdict.problem.seq) == (fault, seq)
