"""The role that docs/deployment.md gives the reconciler is enough for it, and for no more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from psycopg import sql
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, ProgrammingError

from tests.builders import NOW
from tests.databases import postgresql_only
from tests.postgres import Cluster
from tests.store import test_retention
from tests.store.test_hostile_text import USES
from trading_ops.errors import StoreError
from trading_ops.store import audit_chain, care, events, leases, migrate, notifications, retention
from trading_ops.store.archive import Archive
from trading_ops.store.engine import writing_engine
from trading_ops.store.writer import transaction

GRANTS = Path(__file__).parents[2] / "deploy" / "postgresql" / "grants.sql"

pytestmark = postgresql_only


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = writing_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture
def restricted(url: str, postgres: Cluster) -> Iterator[str]:
    """The database's URL as a role that has only what the file grants."""
    name = make_url(url).database or ""
    postgres.execute(
        sql.SQL("CREATE ROLE restricted LOGIN PASSWORD {}").format(sql.Literal(postgres.password))
    )
    statements = GRANTS.read_text().replace("TO trading_ops", "TO restricted")
    statements = statements.replace("FROM trading_ops", "FROM restricted")
    with opened(url) as owner, owner.begin() as connection:
        connection.exec_driver_sql(statements)
    yield postgres.url(name, role="restricted")
    postgres.drop(url)
    postgres.execute("DROP ROLE restricted")


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__.strip("_"))
def test_it_is_enough(restricted: str, use: Callable[[Connection, str], None]) -> None:
    """Every aggregate is written, read, changed and chained."""
    with opened(restricted) as engine, transaction(engine, b"key") as connection:
        use(connection, "word")


def test_it_is_enough_for_what_is_swept_up(restricted: str) -> None:
    """Leases and old notifications are deleted; a start looks whether there is a migration."""
    assert migrate.upgrade(restricted) == migrate.HEAD
    with opened(restricted) as engine, transaction(engine) as connection:
        leases.clear(connection)
        leases.renew(connection, "one", now=NOW)
        assert leases.take(connection, "one", ["target:alpha"], held=0, now=NOW)
        leases.leave(connection, "one")
        key = notifications.add(connection, received_at=NOW, body=b"x")
        notifications.finish(connection, key, notifications.NotificationState.PARSED)
        notifications.prune(connection, before=NOW.replace(year=2027), now=NOW)


def test_the_owner_sees_that_it_works(url: str, restricted: str) -> None:
    """The owner takes the schema back, and may not see everything of another role's session."""
    refused = pytest.raises(StoreError, match="a reconciler uses the database")
    with opened(restricted) as engine, engine.connect(), refused:
        migrate.downgrade(url, f"{int(migrate.HEAD) - 1:04}")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET note = 'another'",
        "DELETE FROM audit_checkpoints",
        "UPDATE audit_checkpoints SET seq = 1",
        "TRUNCATE events",
        "DROP TRIGGER events_append_only ON events",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "DROP FUNCTION trading_ops_append_only() CASCADE",
        "DELETE FROM chain",
        "INSERT INTO chain VALUES (2, 0, '')",
        "DELETE FROM fences",
        "UPDATE alembic_version SET version_num = '0001'",
        "DROP TABLE claims",
        "CREATE TABLE mine (id int)",
        "CREATE ROLE other",
        "COPY events TO PROGRAM 'cat'",
        "SET session_replication_role = replica",
    ],
)
def test_it_is_no_more_than_that(restricted: str, statement: str) -> None:
    """History, schema and server are out of its reach."""
    with opened(restricted) as engine:
        with transaction(engine) as connection:
            events.add(connection, at=NOW, kind="test")
        with (
            engine.connect() as connection,
            pytest.raises(ProgrammingError, match="InsufficientPrivilege"),
        ):
            connection.exec_driver_sql(statement)


def test_the_owner_is_stopped_by_the_trigger(url: str) -> None:
    """Who owns the tables cannot change history by mistake either."""
    with opened(url) as engine:
        with transaction(engine) as connection:
            events.add(connection, at=NOW, kind="test")
        for statement in ("UPDATE events SET note = 'another'", "DELETE FROM events"):
            with engine.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
                connection.exec_driver_sql(statement)


def test_it_is_enough_for_retention(restricted: str, tmp_path: Path) -> None:
    """What is over is archived and removed, of every kind."""
    before, now = NOW.replace(year=2027), NOW.replace(year=2028)
    archive = Archive(folder=tmp_path, keys=[b""])
    with opened(restricted) as engine:
        with transaction(engine, b"") as connection:
            test_retention.incident(connection, NOW)
            test_retention.orders(connection, NOW)
        for find, remove in (
            (retention.old_incidents, retention.remove_incidents),
            (retention.old_attempts, retention.remove_attempts),
        ):
            with transaction(engine, b"") as connection:
                rows = find(connection, before=before, limit=10)
                assert remove(connection, rows=rows, before=before, now=now, archive="one") > 0
        with transaction(engine, b"") as connection:
            span = retention.old_events(connection, before=before, now=now, limit=10)
            assert span is not None
            pages = audit_chain.pages(connection, first=span[0], last=span[1], size=10)
            file = archive.write_events(pages)
            remove_events = partial(retention.remove_events, key=b"", limit=10, file=file)
            assert remove_events(connection, before=before, now=now) > 0


def test_old_events_are_removed_behind_a_checkpoint_only(restricted: str) -> None:
    """Retention works for the reconciler's role; a deletion without a checkpoint does not."""
    with opened(restricted) as engine:
        for _ in range(3):
            with transaction(engine) as connection:
                events.add(connection, at=NOW, kind="test")
        with engine.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
            connection.exec_driver_sql("DELETE FROM events")
        with transaction(engine) as connection:
            assert audit_chain.remove_through(connection, b"", through=1, at=NOW) == 1


def test_care_of_the_database_is_refused_with_what_to_run(url: str, restricted: str) -> None:
    """The role sees what is needed, and the statements for the tables' owner are named."""
    with opened(url) as owner, owner.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql("CREATE TABLE twice (id int)")
        connection.exec_driver_sql("INSERT INTO twice VALUES (1), (1)")
        with pytest.raises(DBAPIError, match="unique"):
            connection.exec_driver_sql("CREATE UNIQUE INDEX CONCURRENTLY only_once ON twice (id)")
    with opened(restricted) as engine, engine.connect() as connection:
        assert care.tables_to_vacuum(connection, {}) == []
        needs = care.indexes_to_rebuild(connection, {})
        assert [need.owned for need in needs] == [False]
        assert "REINDEX INDEX CONCURRENTLY only_once" in care.obstacle(connection, needs, NOW)
