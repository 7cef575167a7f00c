"""A bot's own SQLAlchemy pool is renewed through its agent; the pool's metrics are the witness."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, exc

from tests.waiting import eventually
from trading_ops.agent import BadRequest, Command, CommandFailed
from trading_ops.agent.attempts import current_attempt
from trading_ops.botkit.database_commands import engine_commands
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.sqlalchemy import watch_engine

NAMES = ("recycle_pool", "reconnect_database")
both = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def metrics() -> BotMetrics:
    return BotMetrics(version="1", mode="paper")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


@pytest.fixture
def engine(path: Path, metrics: BotMetrics) -> Iterator[Engine]:
    """Of two connections; no one waits for a third."""
    arguments = {"check_same_thread": False}
    engine = create_engine(
        f"sqlite:///{path}",
        pool_size=2,
        max_overflow=0,
        pool_timeout=0.01,
        connect_args=arguments,
    )
    watch_engine(metrics, engine)
    yield engine
    engine.dispose()


def value_of(metrics: BotMetrics, what: str, **labels: str) -> float | None:
    name = f"trading_database_pool_{what}"
    return metrics.registry.get_sample_value(name, {"pool": "main", **labels})


async def carry_out(commands: dict[str, Command], name: str) -> str:
    return await commands[name].run({})


@both
async def test_a_pool_that_was_exhausted_has_connections_again(
    metrics: BotMetrics, engine: Engine, name: str
) -> None:
    """Those that no one gives back are let go; what is recreated is counted."""
    kept: list[Connection] = [engine.connect(), engine.connect()]
    with pytest.raises(exc.TimeoutError):
        engine.connect()
    assert value_of(metrics, "connections", state="in_use") == value_of(metrics, "size") == 2
    result = await carry_out(engine_commands(engine), name)
    assert result.startswith("0 idle connections were closed, 2 in use")
    assert value_of(metrics, "connections", state="in_use") == 0
    assert value_of(metrics, "connections_made_total") == 3
    with engine.connect(), engine.connect():
        assert value_of(metrics, "connections", state="in_use") == 2
    for connection in kept:
        connection.close()


@both
async def test_idle_connections_are_closed(metrics: BotMetrics, engine: Engine, name: str) -> None:
    """What was idle is not used again."""
    closed: list[sqlite3.Connection] = []
    event.listen(engine, "close", lambda connection, _: closed.append(connection))
    with engine.connect(), engine.connect():
        pass
    result = await carry_out(engine_commands(engine), name)
    assert result.startswith("2 idle connections were closed, 0 in use")
    assert len(closed) == 2
    assert value_of(metrics, "connections", state="idle") == 1


@both
async def test_a_database_that_is_away_is_reported(path: Path, name: str) -> None:
    """A pool that is renewed and reaches no one is not a success; an address is not quoted."""
    engine = create_engine(f"sqlite:///{path}/there-is-no-such-folder/bot.db")
    with pytest.raises(CommandFailed, match=r"OperationalError$"):
        await carry_out(engine_commands(engine), name)


async def test_a_pool_that_keeps_none(path: Path) -> None:
    """There is nothing to close or to count."""
    single = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    result = await carry_out(engine_commands(single), "recycle_pool")
    assert result.startswith("the pool was renewed")


async def resize(commands: dict[str, Command], attempt: str, **params: str) -> str:
    command = commands["scale_pool"]
    command.check(params)
    before = current_attempt.set(attempt)
    try:
        return await command.run(params)
    finally:
        current_attempt.reset(before)


async def test_a_pool_is_larger_until_the_time_is_over(metrics: BotMetrics, engine: Engine) -> None:
    """A third connection is given at once, and no longer afterwards."""
    kept = [engine.connect(), engine.connect()]
    commands = engine_commands(engine)
    assert "up to 3 connections" in await resize(commands, "a1", percent="150", seconds="1")
    kept.append(engine.connect())
    assert value_of(metrics, "size") == 3

    async def restored() -> bool:
        return value_of(metrics, "size") == 2

    await eventually(restored, what="the configured size")
    for connection in kept:
        connection.close()
    with engine.connect(), engine.connect(), pytest.raises(exc.TimeoutError):
        engine.connect()


async def test_undoing_an_attempt_leaves_what_others_asked_for(
    metrics: BotMetrics, engine: Engine
) -> None:
    """An operator's own size lasts its time."""
    commands = engine_commands(engine)
    await resize(commands, "by-operator", percent="200", seconds="60")
    await resize(commands, "by-runbook", percent="300", seconds="60")
    assert value_of(metrics, "size") == 6
    await resize(commands, "undo", percent="300", seconds="0", undoes="by-runbook")
    assert value_of(metrics, "size") == 4
    await resize(commands, "all", percent="100", seconds="0")
    assert value_of(metrics, "size") == 2


@pytest.mark.parametrize(
    ("percent", "seconds"),
    [("99", "60"), ("401", "60"), ("x", "60"), ("150", "3601"), ("150", "-1")],
)
def test_a_size_or_a_time_out_of_range_is_refused(
    engine: Engine, percent: str, seconds: str
) -> None:
    """A pool is never smaller than the bot configured it."""
    with pytest.raises(BadRequest, match="must be a whole number"):
        engine_commands(engine)["scale_pool"].check({"percent": percent, "seconds": seconds})


async def test_a_pool_without_a_limit_cannot_be_larger(path: Path) -> None:
    """Nothing is counted that a percentage could be of."""
    endless = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with pytest.raises(CommandFailed, match="no maximum"):
        await resize(engine_commands(endless), "a1", percent="150", seconds="60")
