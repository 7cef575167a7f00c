"""A new, migrated database for each test, and each test on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import Connection, Engine

from tests.builders import NOW
from trading_ops.reconciler.retention import Retention
from trading_ops.store.archive import Archive
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.reader import open_reader
from trading_ops.store.writer import Writer, transaction


@pytest.fixture
def url(database_url: str) -> str:
    """The URL of a migrated database."""
    return database_url


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The engine of the one writer."""
    engine = writing_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A writing connection inside one transaction."""
    with transaction(engine) as connection:
        yield connection


@pytest.fixture
def writer(url: str) -> Iterator[Writer]:
    """A running writer."""
    writer = Writer(writing_engine(url))
    writer.start()
    yield writer
    writer.stop()


@pytest.fixture
def reading(url: str) -> Iterator[Engine]:
    """An engine that cannot write."""
    engine = reading_engine(url)
    yield engine
    engine.dispose()


KEY = b""
"""What the fixtures write with."""

DAY = timedelta(days=1)


class Make(Protocol):
    """Makes the retention of a test's database."""

    def __call__(self, now: datetime = NOW) -> Retention:
        """Return it as of a time."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the archive."""
    return tmp_path / "archive"


@pytest.fixture
def retention(writer: Writer, url: str, folder: Path) -> Iterator[Make]:
    """What makes the retention of this database."""
    with open_reader(url) as reader:

        def make(now: datetime = NOW) -> Retention:
            return Retention(
                writer=writer,
                reader=reader,
                archive=Archive(folder=folder, keys=[KEY]),
                notifications_kept=7 * DAY,
                incidents_kept=30 * DAY,
                messages_kept=30 * DAY,
                bot_events_kept=30 * DAY,
                bot_events_kept_rows=3,
                events_kept=30 * DAY,
                pause_seconds=0.0,
                now=lambda: now,
            )

        yield make
