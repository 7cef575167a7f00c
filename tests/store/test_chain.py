"""The timeline is append-only by the database itself, and chained so that a change shows."""

import hmac

import pytest
from sqlalchemy import Connection, delete, insert, text, update
from sqlalchemy.exc import DBAPIError

from tests.builders import NOW, ago
from trading_ops.store import audit_chain, events, tables

KEY = b"the key"


def written(connection: Connection, count: int = 3) -> list[audit_chain.Link]:
    """Write some events in one transaction; return them as they are stored."""
    for number in range(count):
        events.add(
            connection,
            at=ago(number),
            kind="closed",
            incident_id="incident-1",
            actor="ada",
            note=f"Übung {number}",
            before={"state": "open"},
            after={"state": "closed"},
        )
    audit_chain.write(connection, KEY)
    return audit_chain.links(connection, after=0, limit=100)


def test_each_event_is_chained_to_the_one_before(connection: Connection) -> None:
    """From the stored rows and the key alone the whole chain can be made again."""
    previous = ""
    rows = written(connection) and written(connection)
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5, 6]
    for row in rows:
        assert row.mac == audit_chain.mac_of(KEY, previous, row[0], row[1:-1])
        assert row.mac != audit_chain.mac_of(b"another", previous, row[0], row[1:-1])
        previous = row.mac
    assert audit_chain.newest(connection)[:2] == (6, previous)
    assert events.head(connection) == 6


def test_the_mac_can_be_made_by_anybody_who_reads_the_documentation() -> None:
    """Its spelling is fixed: a change here would make every stored chain unreadable."""
    fields = (1, "closed", None, None, "ada", "", 'a "ü"', None, "{}")
    spelt = b'["previous",7,1,"closed",null,null,"ada","","a \\"\\u00fc\\"",null,"{}"]'
    assert (
        audit_chain.mac_of(KEY, "previous", 7, fields) == hmac.new(KEY, spelt, "sha256").hexdigest()
    )


@pytest.mark.parametrize(
    "change",
    [
        update(tables.events).values(note="nothing happened"),
        update(tables.events).where(tables.events.c.seq == 2).values(seq=20),
        delete(tables.events).where(tables.events.c.seq == 2),
        delete(tables.events),
        insert(tables.events).values(seq=2, at=NOW, kind="put in", mac="0" * 64),
    ],
    ids=["edit", "renumber", "delete", "delete all", "insert again"],
)
def test_history_cannot_be_changed(connection: Connection, change: object) -> None:
    """The database refuses it, anyone who asks, and what was written stays."""
    before = written(connection)
    with pytest.raises(DBAPIError), connection.begin_nested():
        connection.execute(change)  # type: ignore[call-overload]
    assert audit_chain.links(connection, after=0, limit=100) == before


def test_replacing_or_emptying_is_refused_too(connection: Connection) -> None:
    """Each database's own way around a DELETE trigger is shut."""
    before = written(connection)
    ways = {
        "sqlite": "INSERT OR REPLACE INTO events (seq, at, kind) VALUES (2, 0, 'put in')",
        "postgresql": "TRUNCATE events",
    }
    with pytest.raises(DBAPIError, match="append-only"), connection.begin_nested():
        connection.execute(text(ways[connection.dialect.name]))
    assert audit_chain.links(connection, after=0, limit=100) == before


def test_text_that_no_database_stores_is_made_storable(connection: Connection) -> None:
    """A hostile label's NUL or lone surrogate does not fail the transaction, and verifies."""
    events.add(connection, at=NOW, kind="opened", note="a\0b", actor="\ud800ü", after={"x": "\0"})
    audit_chain.write(connection, KEY)
    (row,) = audit_chain.links(connection, after=0, limit=1)
    assert (row.note, row.actor) == ("a\ufffdb", "\ufffdü")
    assert row.mac == audit_chain.mac_of(KEY, "", 1, row[1:-1])
