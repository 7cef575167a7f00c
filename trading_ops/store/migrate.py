"""Bringing a database up to date. Alembic is imported only when there is something to do."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from trading_ops.store.engine import sole_writer, writing_engine

FOLDER = Path(__file__).parent / "migrations"
HEAD = "0002"
"""The newest revision; a test compares it with the files."""


def current(connection: Connection) -> str | None:
    """Return the database's revision, or None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def upgrade(url: str) -> str:
    """Bring the database to the newest revision and return it; cheap when it is already there.

    Raises:
        StoreError: another process has the database open for writing.
    """
    with sole_writer(url):
        engine = writing_engine(url)
        try:
            with engine.begin() as connection:
                if current(connection) != HEAD:
                    _run_alembic(connection)
        finally:
            engine.dispose()
    return HEAD


def _run_alembic(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - 0.1 s and 20 MB that most starts do not need
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    attributes: dict[str, Any] = config.attributes
    attributes["connection"] = connection
    command.upgrade(config, "head")
