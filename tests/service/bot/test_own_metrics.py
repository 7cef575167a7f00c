"""What the bot says of its inside: log, queues, signals, transactions, money at risk."""

import asyncio
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service.bot.conftest import Control, Venue
from tests.service.botkit.conftest import SYMBOL, sample, until
from trading_ops import clock
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.orders.market import Quote
from trading_ops.botkit.orders.order import Position
from trading_ops.botkit.records.driver import QUEUE, ThreadedDatabase
from trading_ops.botkit.records.sql import Session
from trading_ops.botkit.records.sqlite import SqliteDriver
from trading_ops.botkit.supervisor import Supervisor
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.signals.component import SOURCE, Signals
from trading_ops_lab.paper.bot.trading.money import record_money
from trading_ops_lab.paper.bot.trading.strategy import Target

pytestmark = pytest.mark.processes

UNKNOWN = {
    "trading_venue_rate_limit_used_ratio",  # of the paper venue no one knows limits
    # One strategy, and nothing that would stand in for it; queues and connections without a bound.
    *("trading_signal_fallback_active", "trading_queue_capacity", "trading_database_pool_size"),
}


def outcomes(metrics: BotMetrics) -> dict[str, float]:
    names = ("ok", "timeout", "failed", "invalid", "skipped")
    counts = {
        name: sample(metrics, "trading_signals_total", source=SOURCE, outcome=name)
        for name in names
    }
    return {kind: count for kind, count in counts.items() if count}


def quote(price: int) -> Quote:
    return Quote(bid=Decimal(price), ask=Decimal(price), at=clock.timestamp())


async def test_a_trading_bot_reports_what_it_knows(
    venue: Venue,
    spawn: Callable[[], subprocess.Popen[bytes]],
    control: Control,
    tmp_path: Path,
) -> None:
    """As a process of its own; what it does not know is absent."""
    spawn()
    await until(venue.open_orders, within=40)
    text = await control.get("/metrics")
    written = (tmp_path / "bot.log").stat().st_size
    samples = [point for family in text_string_to_metric_families(text) for point in family.samples]
    values = {(point.name, *sorted(point.labels.values())): point.value for point in samples}
    assert {point.name for point in samples} & UNKNOWN == set()
    assert values["trading_log_messages_total", "info"] > 0
    assert 0 < sum(v for key, v in values.items() if key[0] == "trading_log_bytes_total") <= written
    assert values["trading_signals_total", SOURCE, "ok"] > 0
    assert values["trading_signal_duration_seconds_count", SOURCE] > 0
    assert values["trading_database_query_duration_seconds_count", "save_changes"] > 0
    assert values["trading_database_query_duration_seconds_count", "load"] > 0
    assert values["trading_queue_wait_seconds_count", QUEUE] > 0
    for name in ("store", "signals", "orders"):
        assert values["trading_queue_wait_seconds_count", name] > 0
        assert values["trading_queue_depth", name] >= 0
    assert values["trading_exposure", "USD"] >= 0
    assert values[("trading_open_positions",)] >= 0
    assert (
        values["trading_balance_source", "rest"] + values["trading_balance_source", "websocket"]
        == 1
    )
    assert values[("trading_balance_timestamp_seconds",)] > 0
    undeclared = {
        key: number
        for key, number in values.items()
        if key[0] == "trading_undeclared_label_values_total" and number
    }
    assert undeclared == {}


async def test_signals_by_their_outcome(metrics: BotMetrics) -> None:
    """Too few prices, enough of them, an error, no answer, and a breaker that is open."""
    signals = Signals(metrics, symbols=[SYMBOL], fast=1, slow=2)
    supervisor = Supervisor([signals])
    supervisor.start()
    await signals.ask({SYMBOL: quote(1)}, within=5)
    assert outcomes(metrics) == {"skipped": 1}
    before = clock.timestamp()
    assert await signals.ask({SYMBOL: quote(2)}, within=5) == {SYMBOL: Target.LONG}
    assert outcomes(metrics) == {"skipped": 1, "ok": 1}
    assert sample(metrics, "trading_signal_timestamp_seconds", source=SOURCE) >= before
    assert sample(metrics, "trading_signal_duration_seconds_count", source=SOURCE) == 1
    for _ in range(3):
        with pytest.raises(Unavailable):
            await signals.ask({SYMBOL: None}, within=5)  # type: ignore[dict-item]
    assert outcomes(metrics) == {"skipped": 1, "ok": 1, "failed": 3}
    assert not signals.breaker.closed
    with pytest.raises(Unavailable):
        await signals.ask({SYMBOL: quote(3)}, within=5)
    assert outcomes(metrics) == {"skipped": 2, "ok": 1, "failed": 3}
    await supervisor.stop()


async def test_a_signal_that_does_not_come(metrics: BotMetrics) -> None:
    """No one works on what waits: its depth shows, and then the time is over."""
    signals = Signals(metrics, symbols=[SYMBOL], fast=1, slow=2)
    asked = asyncio.create_task(signals.ask({SYMBOL: quote(1)}, within=0.05))
    await until(lambda: sample(metrics, "trading_queue_depth", queue="signals") == 1)
    with pytest.raises(Unavailable):
        await asked
    assert outcomes(metrics) == {"timeout": 1}
    assert sample(metrics, "trading_signal_duration_seconds_count", source=SOURCE) == 1


async def test_transactions_are_timed_by_name(metrics: BotMetrics, tmp_path: Path) -> None:
    """An error counts by what SQLite said, although the bot's own error is around it."""
    database = ThreadedDatabase(SqliteDriver(tmp_path / "bot.db"), metrics)

    def twice(session: Session) -> None:
        for _ in range(2):
            session.execute("INSERT INTO nonces (key, ceiling) VALUES ('a', 1)")

    with pytest.raises(StoreError):
        await database.transact(twice, statement="save_changes")
    await database.transact(lambda session: session.execute("SELECT 1").one())
    await database.close()
    timed = "trading_database_query_duration_seconds_count"
    assert sample(metrics, timed, statement="save_changes") == 1
    assert sample(metrics, timed, statement="transaction") == 1
    assert sample(metrics, "trading_database_errors_total", kind="integrity") == 1
    assert sample(metrics, "trading_queue_wait_seconds_count", queue=QUEUE) == 2


def test_exposure_counts_what_is_held() -> None:
    """At current prices, whatever its sign; what is flat is no open position."""
    metrics = BotMetrics(version="1", mode="paper", currencies=["USD"])
    positions = {
        "BTC/USD": Position(quantity=Decimal(2), cost=Decimal(10)),
        "ETH/USD": Position(quantity=Decimal(-3)),
        "LTC/USD": Position(),
    }
    quotes = {"BTC/USD": quote(7), "ETH/USD": quote(5), "LTC/USD": quote(1)}
    record_money(metrics, balances={}, positions=positions, quotes=quotes)
    assert sample(metrics, "trading_exposure", currency="USD") == 29
    assert sample(metrics, "trading_open_positions") == 2
