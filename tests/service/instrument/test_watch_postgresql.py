"""What an engine on a real PostgreSQL does shows in the metrics, lost connections above all."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, create_engine, exc, text

from tests.postgres import Cluster
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.sqlalchemy import watch_engine


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(fast=True) as cluster:
        yield cluster


@pytest.fixture
def url(cluster: Cluster) -> Iterator[str]:
    """A database with one table."""
    url = cluster.new_database(migrated=False).replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE trades (id int PRIMARY KEY)"))
        connection.execute(text("INSERT INTO trades VALUES (1)"))
    engine.dispose()
    yield url
    cluster.drop(url)


@pytest.fixture
def metrics() -> BotMetrics:
    return BotMetrics(version="1", mode="paper")


@pytest.fixture
def engine(url: str, metrics: BotMetrics) -> Iterator[Engine]:
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=30)
    watch_engine(metrics, engine)
    yield engine
    engine.dispose()


def value(metrics: BotMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"trading_database_{name}", labels)


def in_use(metrics: BotMetrics) -> float | None:
    return value(metrics, "pool_connections", pool="main", state="in_use")


def read(connection: Connection) -> None:
    connection.execute(text("SELECT * FROM trades"))


def test_a_connection_that_the_server_ended(
    metrics: BotMetrics, engine: Engine, cluster: Cluster, url: str
) -> None:
    """The statement fails as disconnected, the connection is thrown away, the next one works."""
    with engine.connect() as connection:
        read(connection)
        cluster.terminate_backends(url)
        with pytest.raises(exc.OperationalError):
            read(connection)
    assert value(metrics, "errors_total", kind="disconnected") == 1
    assert value(metrics, "pool_invalidated_total", pool="main") == 1
    assert value(metrics, "query_duration_seconds_count", statement="select_trades") == 2
    with engine.connect() as connection:
        read(connection)
    assert in_use(metrics) == 0
    assert value(metrics, "pool_hold_seconds_count", pool="main") == 2


def test_a_connection_that_was_found_broken(
    metrics: BotMetrics, cluster: Cluster, url: str
) -> None:
    """Asked before it is used, it is thrown away, and no statement fails."""
    engine = create_engine(url, pool_pre_ping=True)
    watch_engine(metrics, engine)
    for _ in range(2):
        with engine.connect() as connection:
            read(connection)
        cluster.terminate_backends(url)
    engine.dispose()
    assert value(metrics, "pool_invalidated_total", pool="main") == 1
    assert value(metrics, "query_duration_seconds_count", statement="select_trades") == 2
    assert in_use(metrics) == 0


def test_a_server_that_is_down(metrics: BotMetrics, engine: Engine, cluster: Cluster) -> None:
    """No connection is to be had: an error of the database, and no statement."""
    cluster.stop("fast")
    try:
        with pytest.raises(exc.OperationalError):
            engine.connect()
    finally:
        cluster.start()
    assert value(metrics, "errors_total", kind="disconnected") == 1
    assert value(metrics, "pool_wait_seconds_count", pool="main") == 1
    assert value(metrics, "pool_timeouts_total", pool="main") == 0
    assert in_use(metrics) == 0


def test_waiting_for_a_connection(metrics: BotMetrics, engine: Engine) -> None:
    """The one connection is held: the other thread waits until it is given back."""
    holder = engine.connect()
    began = threading.Event()

    def wait() -> None:
        began.set()
        with engine.connect() as connection:
            read(connection)

    thread = threading.Thread(target=wait)
    thread.start()
    began.wait()
    assert in_use(metrics) == 1
    assert value(metrics, "pool_wait_seconds_count", pool="main") == 1
    holder.close()
    thread.join()
    assert value(metrics, "pool_wait_seconds_count", pool="main") == 2
    assert value(metrics, "pool_hold_seconds_count", pool="main") == 2


@pytest.mark.parametrize(
    ("setting", "statement", "kind"),
    [
        ("lock_timeout = 20", "UPDATE trades SET id = 2", "locked"),
        ("statement_timeout = 20", "SELECT pg_sleep(10)", "timeout"),
        ("timezone = 'UTC'", "INSERT INTO trades VALUES (1)", "integrity"),
        ("timezone = 'UTC'", "SELECT * FROM nothing", "other"),
    ],
)
def test_errors_by_kind(
    metrics: BotMetrics, engine: Engine, url: str, setting: str, statement: str, kind: str
) -> None:
    """PostgreSQL's own codes tell what was wrong."""
    other = create_engine(url)
    with other.connect() as holder:
        if kind == "locked":
            holder.execute(text("UPDATE trades SET id = 3"))
        with engine.connect() as connection:
            connection.execute(text(f"SET {setting}"))
            with pytest.raises(exc.DBAPIError):
                connection.execute(text(statement))
        holder.rollback()
    other.dispose()
    assert value(metrics, "errors_total", kind=kind) == 1
    assert in_use(metrics) == 0
