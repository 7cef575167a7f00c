"""Migrations and tables are the same schema, and can be walked both ways."""

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.engine import make_url

from tests.databases import postgresql_only, sqlite_only
from tests.postgres import Cluster
from trading_ops.errors import StoreError
from trading_ops.store import bot_events, migrate
from trading_ops.store.engine import migrating_engine, sole_writer, sqlite_path
from trading_ops.store.tables import metadata


def config(connection: Connection) -> Config:
    made = Config()
    made.set_main_option("script_location", str(migrate.FOLDER))
    attributes: dict[str, Any] = made.attributes
    attributes["connection"] = connection
    return made


def test_migrations_produce_exactly_the_tables(connection: Connection) -> None:
    """A column that only one of the two has would be found by the first user."""
    context = MigrationContext.configure(connection)
    assert compare_metadata(context, metadata) == []
    made = set(inspect(connection).get_table_names()) - {"alembic_version"}
    assert made == set(metadata.tables)


def indexes(connection: Connection) -> dict[str, str]:
    """Return every index as the database would say it, one spelling for both."""
    asked = {
        "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index'",
        "postgresql": "SELECT indexname AS name, indexdef AS sql FROM pg_indexes",
    }
    rows = connection.exec_driver_sql(asked[connection.dialect.name])
    return {row.name: row.sql for row in rows}


def test_partial_indexes_are_there(connection: Connection) -> None:
    """What may exist once is said by the database itself."""
    made = indexes(connection)
    unique = {name: sql for name, sql in made.items() if name.startswith("ux_")}
    assert all(sql.startswith("CREATE UNIQUE INDEX") for sql in unique.values())
    assert re.search(r"WHERE \(?closed_at IS NULL", made["ux_incidents_open"])
    assert re.search(r"WHERE \(?ended_at IS NULL", made["ux_acknowledgements_standing"])
    running = made["ux_attempts_running"]
    assert re.findall(r"'(\w+)'", running) == ["started", "unknown", "succeeded", "safe_direction"]
    assert "<>" in running


def test_head_is_the_newest_file(connection: Connection) -> None:
    """The constant that saves importing Alembic at each start is right."""
    assert ScriptDirectory.from_config(config(connection)).get_current_head() == migrate.HEAD
    assert migrate.current(connection) == migrate.HEAD


def test_down_and_up_again(connection: Connection) -> None:
    """Every migration can be taken back."""
    command.downgrade(config(connection), "base")
    assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    command.upgrade(config(connection), "head")
    assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_stored_bot_events_get_numbers(connection: Connection) -> None:
    """In the order in which they were received; the next one continues."""
    command.downgrade(config(connection), "0008")
    insert = text(
        "INSERT INTO bot_events VALUES"
        " (:id, 'alpha', :id, 'trade', 'info', 1, :received, '', '', '', '', '', '{}')"
    )
    for key, received in (("first", 1), ("third", 3), ("second", 2)):
        connection.execute(insert, {"id": key, "received": received})
    command.upgrade(config(connection), "head")
    rows = connection.execute(text("SELECT id FROM bot_events ORDER BY seq")).scalars()
    assert list(rows) == ["first", "second", "third"]
    assert bot_events.head(connection) == 3


@pytest.fixture
def empty_url(database_url: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database of the same kind, in which nothing is."""
    if sqlite_path(database_url):
        yield f"sqlite:///{tmp_path / 'new.db'}"
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    url = cluster.new_database(migrated=False)
    yield url
    cluster.drop(url)


def revision(url: str) -> str | None:
    engine = migrating_engine(url)
    try:
        with engine.begin() as connection:
            return migrate.current(connection)
    finally:
        engine.dispose()


def test_an_empty_database_is_brought_up(empty_url: str) -> None:
    """Nothing is assumed of a new database."""
    assert revision(empty_url) is None
    assert migrate.upgrade(empty_url) == migrate.HEAD
    assert revision(empty_url) == migrate.HEAD


@postgresql_only
def test_one_of_several_migrates(empty_url: str) -> None:
    """Replicas that start at once on a new database all find it ready."""
    with ThreadPoolExecutor(6) as threads:
        assert set(threads.map(migrate.upgrade, [empty_url] * 6)) == {migrate.HEAD}
    assert revision(empty_url) == migrate.HEAD


def test_a_newer_programs_database_is_left_alone(url: str, engine: Engine) -> None:
    """An older version refuses the database, and changes nothing."""
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="has revision 9999, which this version"):
        migrate.upgrade(url)
    assert revision(url) == "9999"


@postgresql_only
def test_a_database_that_is_not_there_is_a_sentence(url: str) -> None:
    """Neither a traceback nor the password."""
    password = make_url(url).password or "?"
    missing = url.rpartition("/")[0] + "/nowhere"
    with pytest.raises(StoreError, match='database "nowhere" does not exist') as caught:
        migrate.upgrade(missing)
    assert password not in str(caught.value)


def test_upgrading_twice_changes_nothing(url: str, engine: Engine) -> None:
    """The second time is a look at the revision."""
    assert migrate.upgrade(url) == migrate.HEAD
    with engine.begin() as connection:
        assert migrate.current(connection) == migrate.HEAD


@sqlite_only
def test_a_second_writer_is_refused(url: str) -> None:
    """The sentence names the process that has it, and what to do."""
    with (
        sole_writer(url),
        pytest.raises(StoreError, match="open for writing in process"),
        sole_writer(url),
    ):
        pass
    with sole_writer(url):  # and it is free again
        pass


def test_other_databases_need_no_file_lock() -> None:
    """PostgreSQL has several writers by design."""
    assert sqlite_path("postgresql://localhost/x") is None
    with sole_writer("postgresql://localhost/x"):
        pass


APART = """
import asyncio, sys
from trading_ops.app.process import migrate_apart
from trading_ops.config.loading import load_settings
from trading_ops.store import migrate

url = load_settings().database_url
print(migrate.is_behind(url))
asyncio.run(migrate_apart(load_settings()))
print(migrate.is_behind(url), "alembic" in sys.modules)
"""


def test_the_reconciler_migrates_in_a_process_of_its_own(tmp_path: Path) -> None:
    """A new database is brought up to date, and Alembic does not stay in memory."""
    life = [sys.executable, "-c", APART]
    done = subprocess.run(life, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == ["True", "False", "False"]
