"""A new, migrated database for each test, and each test on SQLite and on PostgreSQL."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.transaction import transaction
from trading_ops.store.writer import Writer


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
