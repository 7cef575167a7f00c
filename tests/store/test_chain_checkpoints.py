"""Old events are removed behind a signed checkpoint, and the rest is still proven."""

import asyncio
from functools import partial

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tests.builders import NOW
from trading_ops.audit.checkpoint import make_anchor, note_key
from trading_ops.audit.report import AnchorBook, ChainVerdict, unproven, verify
from trading_ops.audit.walk import Tampering
from trading_ops.store import Connection, audit_chain, events
from trading_ops.store.reader import open_reader
from trading_ops.store.writer import Writer, transaction

KEY = b""
"""What the fixtures write with."""


def add(connection: Connection, count: int = 20) -> None:
    for number in range(count):
        events.add(connection, at=NOW, kind="opened", note=f"number {number}")


def remove(connection: Connection, through: int) -> int:
    return audit_chain.remove_through(connection, KEY, through=through, at=NOW)


def newest(engine: Engine) -> audit_chain.Head:
    with engine.connect() as connection:
        return audit_chain.newest(connection)


def verified(url: str, *heads: audit_chain.Head) -> ChainVerdict:
    async def run() -> ChainVerdict:
        anchors = tuple(make_anchor(KEY, head, NOW) for head in heads)
        with open_reader(url) as reader:
            return await verify(reader, [KEY], AnchorBook(genuine=anchors))

    return asyncio.run(run())


def removed_through(engine: Engine, through: int) -> int:
    with transaction(engine) as connection:
        return remove(connection, through)


def written(engine: Engine) -> audit_chain.Head:
    with transaction(engine) as connection:
        add(connection)
    return newest(engine)


def test_the_chain_goes_on_from_a_checkpoint(url: str, engine: Engine) -> None:
    """Twice, and anchors of removed events, or of the checkpoint itself, are no fault."""
    first = written(engine)
    removed = removed_through(engine, 20)
    assert removed == 18, "the two newest stay"
    heads = [first, written(engine)]
    assert removed_through(engine, 20) == 2
    heads.append(written(engine))
    verdict = verified(url, *heads)
    assert (verdict.problem, verdict.first, verdict.removed) == (None, 21, 20)
    assert unproven(verdict) == []
    with engine.connect() as connection:
        links = audit_chain.links(connection, after=None, limit=100)
    assert [link.kind for link in links if link.kind != "opened"] == ["events_removed"] * 2
    assert removed_through(engine, 20) == 0, "they are gone already"


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM events WHERE seq <= 12", Tampering.REMOVED),
        ("UPDATE events SET note = 'x' WHERE seq = 11", Tampering.EDITED),
        ("INSERT INTO events (seq, at, kind) VALUES (4, 0, 'opened')", Tampering.INSERTED),
        ("UPDATE audit_checkpoints SET seq = 12 WHERE kind = 'removed'", Tampering.REMOVED),
        ("DELETE FROM audit_checkpoints WHERE kind = 'removed'", Tampering.REMOVED),
    ],
)
def test_what_is_changed_behind_it_is_found(
    url: str, engine: Engine, statement: str, fault: Tampering
) -> None:
    """A checkpoint vouches for what was removed with it, and for nothing else."""
    written(engine)
    removed_through(engine, 10)
    with engine.begin() as connection:
        unguard(connection)
        connection.execute(text(statement))
    problem = verified(url).problem
    assert problem is not None
    assert problem.fault is fault


def unguard(connection: Connection) -> None:
    """Drop all triggers, as the owner of the tables can."""
    if connection.dialect.name == "sqlite":
        names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type='trigger'")
        for (name,) in names.all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
    else:
        for table in ("events", "audit_checkpoints"):
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events WHERE seq = 11",
        "DELETE FROM audit_checkpoints",
        "UPDATE audit_checkpoints SET seq = 19",
    ],
)
def test_the_database_refuses_everything_else(engine: Engine, statement: str) -> None:
    """Events go up to a checkpoint only, and checkpoints stay."""
    written(engine)
    removed_through(engine, 10)
    with engine.begin() as connection, pytest.raises(DBAPIError, match="append-only"):
        connection.execute(text(statement))


def test_what_was_removed_in_a_failed_transaction_is_still_there(url: str, engine: Engine) -> None:
    """Checkpoint and removal are one."""
    written(engine)
    with pytest.raises(ZeroDivisionError), transaction(engine) as connection:
        remove(connection, 10 // (remove(connection, 10) - 10))
    assert verified(url).verified == 20


async def test_the_beginning_of_an_older_chain_is_signed_once(
    url: str, engine: Engine, writer: Writer
) -> None:
    """A chain of an earlier version has no checkpoint until the reconciler starts."""
    await writer.run(add)
    with engine.begin() as connection:
        unguard(connection)
        connection.exec_driver_sql("DELETE FROM audit_checkpoints")
    for _ in range(2):
        await note_key(writer, [KEY])
    with open_reader(url) as reader:
        verdict = await verify(reader, [KEY], AnchorBook())
        (begun,) = await reader.read(audit_chain.checkpoints)
    assert (verdict.problem, unproven(verdict)) == (None, [])
    assert (begun.kind, begun.seq, verdict.last) == ("begun", 0, 21)


async def test_retention_beside_a_verification_is_no_fault(url: str, writer: Writer) -> None:
    """Events that go between two looks of one walk are not missing."""
    await writer.run(partial(add, count=300))
    with open_reader(url) as reader:
        verdicts = []
        for through in range(20, 300, 40):
            both = await asyncio.gather(
                verify(reader, [KEY], AnchorBook(), batch_size=7),
                writer.run(partial(remove, through=through)),
            )
            verdicts.append(both[0])
    assert [verdict.problem for verdict in verdicts if verdict.problem] == []
