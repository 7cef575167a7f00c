"""Which databases a test runs on. Every test that asks for `database_url` runs on both."""

import shutil
from pathlib import Path

import pytest

from trading_ops.store.engine import sqlite_path

BOTH = ("sqlite", "postgresql")

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what the other does not have: its file lock, its pragmas."""

postgresql_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
"""For what needs a server, or several writers."""


def place_database(migrated: Path, url: str) -> None:
    """Copy a migrated SQLite file to where a URL expects one: migrating takes 0.2 s each time."""
    path = sqlite_path(url)
    assert path is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(migrated, path)
