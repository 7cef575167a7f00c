"""Databases for every test that asks for one, and how long properties are looked into."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.databases import BOTH
from tests.postgres import Cluster
from trading_ops.store import migrate

# `pytest tests/property --hypothesis-profile long` looks forty times longer than every test run.
settings.register_profile("long", max_examples=4000, deadline=None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server that this test process shares, and that does not wait for the disk."""
    with Cluster(fast=True) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new, migrated database, on each kind in turn."""
    if request.param == "sqlite":
        path = tmp_path / "store" / "test.db"
        path.parent.mkdir()
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    url = cluster.new_database()
    yield url
    cluster.drop(url)
