"""What an engine on a real SQLite file does shows in the metrics: pool, statements, errors."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, NullPool, StaticPool, create_engine, exc, text

from trading_ops.instrument import BotMetrics
from trading_ops.instrument.labels import OTHER
from trading_ops.instrument.sqlalchemy import STATEMENT, name_of, watch_engine


@pytest.fixture
def metrics() -> BotMetrics:
    return BotMetrics(version="1", mode="paper")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one table."""
    path = tmp_path / "bot.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE trades (id INTEGER PRIMARY KEY)")
    connection.close()
    return path


@pytest.fixture
def engine(path: Path, metrics: BotMetrics) -> Iterator[Engine]:
    """Of one connection and one beyond; neither it nor SQLite waits for long."""
    engine = create_engine(
        f"sqlite:///{path}",
        pool_size=1,
        max_overflow=1,
        pool_timeout=0.01,
        connect_args={"timeout": 0, "check_same_thread": False},
    )
    watch_engine(metrics, engine)
    yield engine
    engine.dispose()


def value(metrics: BotMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"trading_database_{name}", labels)


def pool(metrics: BotMetrics) -> tuple[float | None, ...]:
    """Connections in use, idle, beyond the pool's size."""
    return tuple(
        value(metrics, "pool_connections", pool="main", state=state)
        for state in ("in_use", "idle", "overflow")
    )


def queries(metrics: BotMetrics, statement: str) -> float | None:
    return value(metrics, "query_duration_seconds_count", statement=statement)


def test_statements_go_under_their_names(metrics: BotMetrics, engine: Engine) -> None:
    """By verb and table, or as the bot calls them; many rows at once are one statement."""
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO trades VALUES (:id)"), [{"id": 1}, {"id": 2}])
        for statement in ("SELECT 1 FROM trades", "SELECT 2 FROM trades", "SELECT * FROM trades"):
            connection.execute(text(statement))
        connection.execute(
            text("SELECT count(*) FROM trades"), execution_options={STATEMENT: "count_trades"}
        )
    assert queries(metrics, "insert_trades") == 1
    assert queries(metrics, "select_trades") == 3
    assert queries(metrics, "count_trades") == 1
    total = value(metrics, "query_duration_seconds_sum", statement="select_trades")
    assert total is not None
    assert total > 0


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("SELECT * FROM orders WHERE id = 7", "select_orders"),
        ('select o.id from "Orders" o join fills on true', "select_orders"),
        ("SELECT 1", "select"),
        ("  -- first\n /* second */ (SELECT id FROM bot.orders)", "select_orders"),
        ('SELECT id FROM "bot"."orders"', "select_orders"),
        ("SELECT * FROM (SELECT id FROM fills)", "select_fills"),
        ("INSERT INTO fills (id) SELECT id FROM orders", "insert_fills"),
        ("UPDATE ONLY orders SET id = 1", "update_orders"),
        ("DELETE FROM orders", "delete_orders"),
        ("CREATE TABLE IF NOT EXISTS fills (id int)", "create_fills"),
        ("PRAGMA journal_mode=WAL", "pragma"),
        ("gibberish FROM orders", OTHER),
        ("", OTHER),
        ("/*" * 500, OTHER),
        ("/**/" * 249 + "!", OTHER),
        ("DROP TABLE " + "x" * 200, "drop_" + "x" * 60),
    ],
)
def test_a_name_is_a_verb_and_a_table(statement: str, name: str) -> None:
    """Never a value, and never the text of something unknown."""
    assert name_of(statement) == name


def test_an_exhausted_pool(metrics: BotMetrics, engine: Engine) -> None:
    """The third wait times out; all waits are timed, and the two connections were returned."""
    assert value(metrics, "pool_size", pool="main") == 2
    assert pool(metrics) == (0, 0, 0)
    with engine.connect(), engine.connect():
        assert pool(metrics) == (2, 0, 1)
        with pytest.raises(exc.TimeoutError):
            engine.connect()
    assert pool(metrics) == (0, 1, 0)
    assert value(metrics, "pool_timeouts_total", pool="main") == 1
    assert value(metrics, "pool_wait_seconds_count", pool="main") == 3
    waited = value(metrics, "pool_wait_seconds_sum", pool="main")
    assert waited is not None
    assert waited > 0
    assert value(metrics, "pool_hold_seconds_count", pool="main") == 2


def test_a_locked_file(metrics: BotMetrics, engine: Engine, path: Path) -> None:
    """Another process writes: the statement fails, and its time counts."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(exc.OperationalError), engine.begin() as connection:
        connection.execute(text("INSERT INTO trades VALUES (1)"))
    holder.close()
    assert value(metrics, "errors_total", kind="locked") == 1
    assert queries(metrics, "insert_trades") == 1


@pytest.mark.parametrize(
    ("statement", "kind"),
    [("INSERT INTO trades VALUES (1), (1)", "integrity"), ("SELECT * FROM nothing", "other")],
)
def test_errors_by_kind(metrics: BotMetrics, engine: Engine, statement: str, kind: str) -> None:
    """Each failed statement is one error."""
    with pytest.raises(exc.DBAPIError), engine.begin() as connection:
        connection.execute(text(statement))
    assert value(metrics, "errors_total", kind=kind) == 1
    assert (
        sum(value(metrics, "errors_total", kind=kind) or 0 for kind in ("integrity", "other")) == 1
    )


def test_an_invalidated_connection(metrics: BotMetrics, engine: Engine) -> None:
    """It is counted, and no longer in use; its time ends with it."""
    connection = engine.connect()
    connection.invalidate()
    connection.close()
    assert value(metrics, "pool_invalidated_total", pool="main") == 1
    assert value(metrics, "pool_hold_seconds_count", pool="main") == 1
    assert pool(metrics)[0] == 0


def test_a_pool_that_was_thrown_away(metrics: BotMetrics, engine: Engine) -> None:
    """The pool that `dispose` makes is watched like the first."""
    with engine.connect():
        pass
    engine.dispose()
    with engine.connect():
        assert pool(metrics) == (1, 0, 0)
    assert value(metrics, "pool_wait_seconds_count", pool="main") == 2
    assert value(metrics, "pool_hold_seconds_count", pool="main") == 2


def test_a_connection_that_left_the_pool(metrics: BotMetrics, engine: Engine) -> None:
    """Detached, it is not the pool's any more."""
    with engine.connect() as connection:
        connection.detach()
        assert pool(metrics)[0] == 0
    assert value(metrics, "pool_hold_seconds_count", pool="main") == 1


@pytest.mark.parametrize("kind", [NullPool, StaticPool])
def test_a_pool_without_a_size(metrics: BotMetrics, path: Path, kind: type[NullPool]) -> None:
    """Those in use are counted; what the pool does not have is absent."""
    engine = create_engine(f"sqlite:///{path}", poolclass=kind)
    watch_engine(metrics, engine)
    with engine.connect() as connection:
        assert pool(metrics) == (1, None, None)
        connection.detach()
        assert pool(metrics) == (0, None, None)
    engine.dispose()
    assert value(metrics, "pool_size", pool="main") is None


def test_a_connection_that_several_share(metrics: BotMetrics, path: Path) -> None:
    """Taken twice, it is one connection; given back twice, it is in use no more."""
    engine = create_engine(f"sqlite:///{path}", poolclass=StaticPool)
    watch_engine(metrics, engine)
    with engine.connect(), engine.connect():
        assert pool(metrics)[0] == 1
    assert pool(metrics)[0] == 0
    engine.dispose()


def test_a_pool_without_a_bound(metrics: BotMetrics, path: Path) -> None:
    """Its size is absent: there is none to reach."""
    engine = create_engine(f"sqlite:///{path}", max_overflow=-1)
    watch_engine(metrics, engine)
    assert value(metrics, "pool_size", pool="main") is None
    assert pool(metrics) == (0, 0, 0)
    engine.dispose()


def test_two_engines(metrics: BotMetrics, engine: Engine, path: Path) -> None:
    """Each has its own pool, and both the same statements."""
    second = create_engine(f"sqlite:///{path}")
    watch_engine(metrics, second, pool="archive")
    for watched in (engine, second):
        with watched.connect() as connection:
            connection.execute(text("SELECT * FROM trades"))
    second.dispose()
    assert value(metrics, "pool_wait_seconds_count", pool="main") == 1
    assert value(metrics, "pool_wait_seconds_count", pool="archive") == 1
    assert queries(metrics, "select_trades") == 2


def test_several_threads_lose_nothing(metrics: BotMetrics, path: Path) -> None:
    """Waits, holds and statements of all of them add up."""
    engine = create_engine(f"sqlite:///{path}", pool_size=2, max_overflow=1)
    watch_engine(metrics, engine)

    def work() -> None:
        for _ in range(50):
            with engine.connect() as connection:
                connection.execute(text("SELECT * FROM trades"))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pool(metrics)[0] == 0
    engine.dispose()
    for name in ("pool_wait_seconds_count", "pool_hold_seconds_count"):
        assert value(metrics, name, pool="main") == 300
    assert queries(metrics, "select_trades") == 300


ABSENT = ("aiohttp", "msgspec", "orjson", "yaml", "structlog", "psutil", "alembic", "click")


def test_it_needs_only_sqlalchemy() -> None:
    """A bot that has nothing else of ours can import it."""
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({ABSENT!r}))\n"
        "import trading_ops.instrument.sqlalchemy\n"
        "print(*(name for name in sys.modules if name.startswith('trading_ops.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "trading_ops.instrument.sqlalchemy" in loaded
    assert [name for name in loaded if not name.startswith("trading_ops.instrument")] == []
