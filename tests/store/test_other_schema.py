"""Beside a release one schema ahead or behind, records are readable; the way back is tested."""

import re

import pytest
from sqlalchemy import Engine, text

from tests.builders import NOW
from tests.databases import postgresql_only
from trading_ops.domain.maintenance import RecurringWindow
from trading_ops.errors import StoreError
from trading_ops.store import (
    Connection,
    attempts,
    backups,
    events,
    holds,
    incidents,
    jobs,
    maintenance,
    migrate,
    search,
)
from trading_ops.store.engine import writing_engine
from trading_ops.store.reader import open_reader
from trading_ops.store.writer import transaction

BEHIND = f"{int(migrate.HEAD) - 1:04}"
AHEAD = f"{int(migrate.HEAD) + 1:04}"


@pytest.fixture
def filled(url: str) -> str:
    """A database with an event."""
    engine = writing_engine(url)
    with transaction(engine) as connection:
        events.add(connection, at=NOW, kind="noted", note="before")
    engine.dispose()
    return url


def records(connection: Connection) -> list[str]:
    """Read what an operator needs while the other release runs; return the events' notes."""
    span = search.TimeRange()
    search.find_incidents(connection, span=span, limit=10)
    search.find_attempts(connection, span=span, limit=10)
    incidents.open_summaries(connection)
    attempts.running(connection)
    holds.active(connection)
    jobs.latest(connection)
    maintenance.current(connection, now=NOW)
    backups.read(connection)
    return [event.note for event in search.find_events(connection, span=span, limit=10)]


async def test_one_behind_is_readable(filled: str) -> None:
    """What the older schema lacks fails with both revisions, and what to do."""
    assert migrate.downgrade(filled, BEHIND).revision == BEHIND
    with open_reader(filled) as reader:
        assert await reader.read(records) == ["before"]
        with pytest.raises(StoreError, match=f"{BEHIND}.*{migrate.HEAD}.*trading-ops migrate"):
            await reader.read(maintenance.recurring)


async def test_one_ahead_is_readable(filled: str, engine: Engine) -> None:
    """A newer release adds tables and columns."""
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE news (id INTEGER PRIMARY KEY)")
        for table in ("incidents", "attempts", "events", "holds", "job_runs"):
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN news TEXT")
        connection.execute(
            text("UPDATE alembic_version SET version_num = :ahead"), {"ahead": AHEAD}
        )
    with open_reader(filled) as reader:
        assert await reader.read(records) == ["before"]


def test_the_way_back_and_up_again_keeps_the_records(filled: str, engine: Engine) -> None:
    assert migrate.downgrade(filled, BEHIND).revision == BEHIND
    assert migrate.downgrade(filled, BEHIND).revision == BEHIND
    assert migrate.upgrade(filled) == migrate.HEAD
    assert migrate.downgrade(filled, migrate.HEAD).revision == migrate.HEAD
    with engine.connect() as connection:
        assert records(connection) == ["before"]


def test_the_way_back_names_what_it_drops(filled: str, engine: Engine) -> None:
    """Recurring windows would end without anyone noticing; an empty table is not worth a word."""
    window = RecurringWindow(
        target=None,
        owner="ada",
        reason="OS",
        every="Sun 02:00",
        zone="UTC",
        seconds=60,
        created_at=NOW,
    )
    writing = writing_engine(filled)
    with transaction(writing) as connection:
        maintenance.order_recurring(connection, window)
    writing.dispose()
    engine.dispose()
    assert migrate.downgrade(filled, "0009").lost == ("1 rows of recurring_windows",)
    migrate.upgrade(filled)
    assert migrate.downgrade(filled, "0009").lost == ()


@postgresql_only
def test_the_way_back_waits_for_other_reconcilers(filled: str, engine: Engine) -> None:
    """They would work on a schema that lacks what they use."""
    with engine.connect():
        with pytest.raises(StoreError, match="a reconciler uses the database"):
            migrate.downgrade(filled, BEHIND)
        assert migrate.downgrade(filled, migrate.HEAD).revision == migrate.HEAD
    engine.dispose()
    assert migrate.downgrade(filled, BEHIND).revision == BEHIND


@pytest.mark.parametrize("revision", ["", "9", AHEAD, "../0001", "base"])
def test_an_unknown_revision_is_refused(filled: str, revision: str) -> None:
    with pytest.raises(StoreError, match="is not known"):
        migrate.downgrade(filled, revision)


def test_each_migration_has_a_way_back() -> None:
    """One that cannot be taken back leaves a failed upgrade without a return."""
    for path in (migrate.FOLDER / "versions").glob("[0-9]*.py"):
        body = re.search(r"def downgrade\(\).*?:\n(.*?)(\ndef |\Z)", path.read_text(), re.DOTALL)
        assert body is not None, path.name
        assert "op." in body[1], path.name
