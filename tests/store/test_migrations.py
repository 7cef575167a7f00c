"""Migrations and tables are the same schema, and can be walked both ways."""

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from trading_ops.errors import StoreError
from trading_ops.store import migrate
from trading_ops.store.engine import sole_writer, sqlite_path
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


def test_partial_indexes_are_there(connection: Connection) -> None:
    """What may exist once is said by the database itself."""
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'index'")
    indexes = {row.name: row.sql for row in rows}
    assert "WHERE closed_at IS NULL" in indexes["ux_incidents_open"]
    running = indexes["ux_attempts_running"]
    assert "state IN ('started', 'unknown', 'succeeded')" in running
    assert "delivery <> 'safe_direction'" in running


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


def test_an_empty_database_has_no_revision(tmp_path: Path) -> None:
    """Nothing is assumed of a new file."""
    from trading_ops.store.engine import writing_engine  # noqa: PLC0415

    engine = writing_engine(f"sqlite:///{tmp_path / 'new.db'}")
    with engine.begin() as connection:
        assert migrate.current(connection) is None
    engine.dispose()


def test_upgrading_twice_changes_nothing(url: str, engine: Engine) -> None:
    """The second time is a look at the revision."""
    assert migrate.upgrade(url) == migrate.HEAD
    with engine.begin() as connection:
        assert migrate.current(connection) == migrate.HEAD


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
