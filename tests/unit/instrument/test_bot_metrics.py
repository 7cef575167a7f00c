"""BotMetrics records what a bot does, with bounded labels, from any thread."""

import asyncio
import math
import threading
import time

import pytest
from prometheus_client import CollectorRegistry

from trading_ops.instrument import BotMetrics, Exposition, families
from trading_ops.instrument.labels import OTHER
from trading_ops.instrument.topics.database import STATEMENTS


@pytest.fixture
def metrics() -> BotMetrics:
    return BotMetrics(
        CollectorRegistry(),
        version="1.2",
        mode="paper",
        symbols=["BTC/USD"],
        currencies=["USD"],
        endpoints=["Balance"],
        sources=["model"],
        queues=["orders"],
        pools=["main"],
        statements=["insert_trade"],
        rate_limits=["private"],
        started_at=1000.0,
    )


def value(metrics: BotMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("trading_bot_info", {"version": "1.2", "mode": "paper"}, 1),
        ("trading_bot_start_timestamp_seconds", {}, 1000),
        ("trading_bot_heartbeat_timestamp_seconds", {}, 1000),
        ("trading_state", {"state": "halted"}, 0),
        ("trading_component_up", {"component": "broker"}, 0),
        ("trading_component_last_success_timestamp_seconds", {"component": "feed"}, 0),
        ("trading_market_data_timestamp_seconds", {"symbol": "BTC/USD"}, 1000),
        ("trading_market_data_latency_seconds_count", {"symbol": "BTC/USD"}, 0),
        ("trading_orders_total", {"outcome": "filled"}, 0),
        ("trading_order_denials_total", {"code": "trading_halted"}, 0),
        ("trading_venue_requests_total", {"endpoint": "Balance", "code": "timeout"}, 0),
        ("trading_nonces_refused_total", {}, 0),
        ("trading_dead_man_switch_deadline_timestamp_seconds", {}, 0),
        ("trading_order_fill_duration_seconds_count", {}, 0),
        ("trading_nonce_resyncs_total", {}, 0),
        ("trading_risk_breaches_total", {"limit": "daily_loss"}, 0),
        ("trading_reconciliations_total", {"result": "failed"}, 0),
        ("trading_discrepancies_total", {"cause": "missed_fill"}, 0),
        ("trading_signals_total", {"source": "model", "outcome": "timeout"}, 0),
        ("trading_signal_timestamp_seconds", {"source": "model"}, 1000),
        ("trading_signal_fallbacks_total", {"source": "model"}, 0),
        ("trading_queue_wait_seconds_count", {"queue": "orders"}, 0),
        ("trading_queue_dropped_total", {"queue": "orders"}, 0),
        ("trading_database_pool_timeouts_total", {"pool": "main"}, 0),
        ("trading_database_query_duration_seconds_count", {"statement": "insert_trade"}, 0),
        ("trading_database_errors_total", {"kind": "locked"}, 0),
        ("trading_log_messages_total", {"level": "critical"}, 0),
    ],
)
def test_known_series_exist_before_anything_happens(
    metrics: BotMetrics, name: str, labels: dict[str, str], expected: float
) -> None:
    """Known label sets are exported from the start."""
    assert value(metrics, name, **labels) == expected


@pytest.mark.parametrize("name", ["trading_balance", "trading_equity", "trading_realized_pnl"])
def test_money_is_absent_until_it_is_known(metrics: BotMetrics, name: str) -> None:
    """A balance that was never read is no zero."""
    assert value(metrics, name, currency="USD") is None


def test_what_no_one_measured_is_absent(metrics: BotMetrics) -> None:
    """Of a bot that says nothing of it: a zero would be a lie, and a rule would believe it."""
    absent = {
        *("trading_balance_timestamp_seconds", "trading_balance_source"),
        *("trading_venue_rate_limit_used_ratio", "trading_clock_skew_seconds"),
        *("trading_risk_limit_used_ratio", "trading_daily_loss", "trading_drawdown"),
        *("trading_drawdown_ratio", "trading_exposure", "trading_open_positions"),
        *("trading_position_drift", "trading_balance_drift", "trading_orphaned_orders"),
        *("trading_missing_orders", "trading_recovery_complete"),
        *("trading_reconciliation_timestamp_seconds", "trading_signal_fallback_active"),
        *("trading_queue_depth", "trading_queue_capacity"),
        *("trading_database_pool_connections", "trading_database_pool_size"),
        *("trading_market_data_price", "trading_position", "trading_balance", "trading_equity"),
        *("trading_realized_pnl", "trading_unrealized_pnl"),
        "trading_position_unrealized_pnl",
        *("trading_bot_leader", "trading_bot_lease_renewal_timestamp_seconds"),
        *("trading_bot_last_exit", "trading_bot_unclean_starts"),
        "trading_startup_reconciliation_duration_seconds",
        "trading_load_throttle_factor",
    }
    empty = {family.name for family in metrics.registry.collect() if not family.samples}
    assert empty == absent


def test_each_method_reaches_its_series(metrics: BotMetrics) -> None:
    """What is recorded is what is exported."""
    metrics.heartbeat(1010.0)
    metrics.event_loop_lag(0.25)
    metrics.memory_uss(4096)
    metrics.trading_state("reducing")
    metrics.component_up("broker", up=True)
    metrics.component_succeeded("broker", 1011.0)
    metrics.component_restarted("feed")
    metrics.circuit_breaker("broker", 2)
    metrics.tick("BTC/USD", at=1012.0, latency_seconds=-0.5)
    metrics.tick("BTC/USD", at=1013.0)
    metrics.feed_reconnected()
    metrics.order_acknowledged(0.02)
    metrics.order_ended("filled")
    metrics.order_denied("trading_halted")
    metrics.open_orders(3)
    metrics.dead_man_switch(1025.0)
    metrics.venue_request("Balance", code="ok", seconds=0.01)
    metrics.venue_session_restarted()
    metrics.nonce_issued()
    metrics.nonce_refused()
    metrics.position("BTC/USD", 0.5)
    metrics.position_profit("BTC/USD", -7.5)
    metrics.balance("USD", 100.0)
    metrics.equity("USD", 120.0)
    metrics.profit("USD", realized=-1.0, unrealized=2.0)
    expected: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {
        ("trading_bot_heartbeat_timestamp_seconds", ()): 1010,
        ("trading_event_loop_lag_seconds", ()): 0.25,
        ("trading_memory_uss_bytes", ()): 4096,
        ("trading_state", (("state", "reducing"),)): 1,
        ("trading_state", (("state", "active"),)): 0,
        ("trading_component_up", (("component", "broker"),)): 1,
        ("trading_component_last_success_timestamp_seconds", (("component", "broker"),)): 1011,
        ("trading_component_restarts_total", (("component", "feed"),)): 1,
        ("trading_circuit_breaker_state", (("component", "broker"),)): 2,
        ("trading_market_data_timestamp_seconds", (("symbol", "BTC/USD"),)): 1013,
        ("trading_market_data_messages_total", (("symbol", "BTC/USD"),)): 2,
        ("trading_market_data_latency_seconds_count", (("symbol", "BTC/USD"),)): 1,
        ("trading_market_data_latency_seconds_sum", (("symbol", "BTC/USD"),)): 0,
        ("trading_market_data_reconnects_total", ()): 1,
        ("trading_order_duration_seconds_sum", ()): 0.02,
        ("trading_orders_total", (("outcome", "filled"),)): 1,
        ("trading_orders_total", (("outcome", "denied"),)): 1,
        ("trading_order_denials_total", (("code", "trading_halted"),)): 1,
        ("trading_open_orders", ()): 3,
        ("trading_dead_man_switch_deadline_timestamp_seconds", ()): 1025,
        ("trading_venue_requests_total", (("endpoint", "Balance"), ("code", "ok"))): 1,
        ("trading_venue_request_duration_seconds_sum", (("endpoint", "Balance"),)): 0.01,
        ("trading_venue_session_restarts_total", ()): 1,
        ("trading_nonces_issued_total", ()): 1,
        ("trading_nonces_refused_total", ()): 1,
        ("trading_position", (("symbol", "BTC/USD"),)): 0.5,
        ("trading_position_unrealized_pnl", (("symbol", "BTC/USD"),)): -7.5,
        ("trading_balance", (("currency", "USD"),)): 100,
        ("trading_equity", (("currency", "USD"),)): 120,
        ("trading_realized_pnl", (("currency", "USD"),)): -1,
        ("trading_unrealized_pnl", (("currency", "USD"),)): 2,
    }
    for (name, labels), wanted in expected.items():
        assert value(metrics, name, **dict(labels)) == wanted, name


def test_each_method_of_trading_reaches_its_series(metrics: BotMetrics) -> None:
    """Orders, venue, money, risk and drift."""
    metrics.order_filled(1.5, order_id="a")
    metrics.nonce_resynced()
    metrics.rate_limit_used("private", 0.75)
    metrics.clock_skew(-0.5)
    metrics.balances_read("rest", 1020.0)
    metrics.risk_limit_used("daily_loss", 0.9)
    metrics.risk_limit_broken("daily_loss")
    metrics.daily_loss("USD", 12.5)
    metrics.drawdown("USD", 20.0, highest=200.0)
    metrics.exposure("USD", 300.0)
    metrics.open_positions(2)
    metrics.position_drift("BTC/USD", -0.25)
    metrics.balance_drift("USD", 0.5)
    metrics.orphaned_orders(1)
    metrics.lost_orders(4)
    metrics.recovery_complete(complete=False)
    metrics.reconciled("drifted", 1030.0)
    metrics.reconciled("failed", 1040.0)
    metrics.discrepancy("side_flipped")
    assert_values(
        metrics,
        ("trading_order_fill_duration_seconds_sum", {}, 1.5),
        ("trading_nonce_resyncs_total", {}, 1),
        ("trading_venue_rate_limit_used_ratio", {"group": "private"}, 0.75),
        ("trading_clock_skew_seconds", {}, -0.5),
        ("trading_balance_timestamp_seconds", {}, 1020),
        ("trading_balance_source", {"source": "rest"}, 1),
        ("trading_balance_source", {"source": "websocket"}, None),
        ("trading_risk_limit_used_ratio", {"limit": "daily_loss"}, 0.9),
        ("trading_risk_limit_used_ratio", {"limit": "exposure"}, None),
        ("trading_risk_breaches_total", {"limit": "daily_loss"}, 1),
        ("trading_daily_loss", {"currency": "USD"}, 12.5),
        ("trading_drawdown", {"currency": "USD"}, 20),
        ("trading_drawdown_ratio", {"currency": "USD"}, 0.1),
        ("trading_exposure", {"currency": "USD"}, 300),
        ("trading_open_positions", {}, 2),
        ("trading_position_drift", {"symbol": "BTC/USD"}, -0.25),
        ("trading_balance_drift", {"currency": "USD"}, 0.5),
        ("trading_orphaned_orders", {}, 1),
        ("trading_missing_orders", {}, 4),
        ("trading_recovery_complete", {}, 0),
        ("trading_reconciliations_total", {"result": "drifted"}, 1),
        ("trading_reconciliations_total", {"result": "failed"}, 1),
        ("trading_reconciliation_timestamp_seconds", {}, 1030),
        ("trading_discrepancies_total", {"cause": "side_flipped"}, 1),
    )


def test_each_method_of_the_inside_reaches_its_series(metrics: BotMetrics) -> None:
    """Signals, queues, the database and the log."""
    metrics.signal("model", seconds=0.3, at=1050.0)
    metrics.signal("model", outcome="timeout", seconds=5.0)
    metrics.signal("model", outcome="skipped")
    metrics.signal_fallback("model")
    metrics.fallback_active(active=True)
    metrics.queue_depth("orders", 3)
    metrics.queue_capacity("orders", 100)
    metrics.queue_wait("orders", 0.2)
    metrics.queue_dropped("orders", 2)
    metrics.pool_connections("main", in_use=6, idle=0, overflow=1)
    metrics.pool_size("main", 15)
    metrics.pool_wait("main", 0.1)
    metrics.pool_hold("main", 0.4)
    metrics.pool_invalidated("main")
    metrics.pool_timeout("main")
    metrics.query_ended("insert_trade", seconds=0.05)
    metrics.log_message("error", 120)
    assert_values(
        metrics,
        ("trading_signals_total", {"source": "model", "outcome": "ok"}, 1),
        ("trading_signals_total", {"source": "model", "outcome": "timeout"}, 1),
        ("trading_signals_total", {"source": "model", "outcome": "skipped"}, 1),
        ("trading_signal_duration_seconds_count", {"source": "model"}, 2),
        ("trading_signal_timestamp_seconds", {"source": "model"}, 1050),
        ("trading_signal_fallbacks_total", {"source": "model"}, 1),
        ("trading_signal_fallback_active", {}, 1),
        ("trading_queue_depth", {"queue": "orders"}, 3),
        ("trading_queue_capacity", {"queue": "orders"}, 100),
        ("trading_queue_wait_seconds_sum", {"queue": "orders"}, 0.2),
        ("trading_queue_dropped_total", {"queue": "orders"}, 2),
        ("trading_database_pool_connections", {"pool": "main", "state": "in_use"}, 6),
        ("trading_database_pool_connections", {"pool": "main", "state": "idle"}, 0),
        ("trading_database_pool_connections", {"pool": "main", "state": "overflow"}, 1),
        ("trading_database_pool_size", {"pool": "main"}, 15),
        ("trading_database_pool_wait_seconds_sum", {"pool": "main"}, 0.1),
        ("trading_database_pool_hold_seconds_sum", {"pool": "main"}, 0.4),
        ("trading_database_pool_invalidated_total", {"pool": "main"}, 1),
        ("trading_database_pool_timeouts_total", {"pool": "main"}, 1),
        ("trading_database_query_duration_seconds_sum", {"statement": "insert_trade"}, 0.05),
        ("trading_log_messages_total", {"level": "error"}, 1),
        ("trading_log_bytes_total", {"level": "error"}, 120),
    )


def assert_values(metrics: BotMetrics, *wanted: tuple[str, dict[str, str], float | None]) -> None:
    for name, labels, expected in wanted:
        assert value(metrics, name, **labels) == expected, (name, labels)


def test_what_cannot_be_is_put_right(metrics: BotMetrics) -> None:
    """Clocks differ, and a sum that fell would look like a restart."""
    metrics.order_acknowledged(-1.0)
    metrics.order_filled(math.nan)
    metrics.venue_request("Balance", code="ok", seconds=-0.5)
    metrics.queue_wait("orders", -3.0)
    metrics.queue_dropped("orders", -3)
    metrics.log_message("info", -1)
    metrics.daily_loss("USD", -5.0)
    metrics.drawdown("USD", -5.0, highest=0.0)
    assert_values(
        metrics,
        ("trading_order_duration_seconds_sum", {}, 0),
        ("trading_order_duration_seconds_bucket", {"le": "0.001"}, 1),
        ("trading_order_fill_duration_seconds_count", {}, 0),
        ("trading_venue_request_duration_seconds_sum", {"endpoint": "Balance"}, 0),
        ("trading_queue_wait_seconds_sum", {"queue": "orders"}, 0),
        ("trading_queue_dropped_total", {"queue": "orders"}, 0),
        ("trading_log_bytes_total", {"level": "info"}, 0),
        ("trading_daily_loss", {"currency": "USD"}, 0),
        ("trading_drawdown", {"currency": "USD"}, 0),
        ("trading_drawdown_ratio", {"currency": "USD"}, None),
    )


def test_one_source_of_balances_holds(metrics: BotMetrics) -> None:
    """The source that holds is 1, those before it are 0, and an unknown one is `other`."""
    for source in ("websocket", "last_good", "carrier pigeon"):
        metrics.balances_read(source)
    assert_values(
        metrics,
        ("trading_balance_source", {"source": "websocket"}, 0),
        ("trading_balance_source", {"source": "last_good"}, 0),
        ("trading_balance_source", {"source": OTHER}, 1),
        ("trading_undeclared_label_values_total", {"metric": "trading_balance_source"}, 1),
    )


def test_a_statement_is_timed_by_with(metrics: BotMetrics) -> None:
    """Its error is counted and continues; that the task was cancelled is not an error of it."""
    with metrics.query("insert_trade"):
        pass
    with pytest.raises(TimeoutError), metrics.query("insert_trade", trace_id="abc"):
        raise TimeoutError
    with pytest.raises(asyncio.CancelledError), metrics.query("insert_trade"):
        raise asyncio.CancelledError
    assert_values(
        metrics,
        ("trading_database_query_duration_seconds_count", {"statement": "insert_trade"}, 3),
        ("trading_database_errors_total", {"kind": "timeout"}, 1),
        ("trading_database_errors_total", {"kind": "other"}, 0),
    )


def test_names_of_the_bots_own_code_need_no_declaration() -> None:
    """A bot that only says its version and mode has them all, up to a bound."""
    metrics = BotMetrics(version="1", mode="paper")
    metrics.queue_wait("inbox", 0.1)
    metrics.signal("cross", seconds=0.1)
    metrics.pool_wait("main", 0.1)
    metrics.rate_limit_used("orders", 0.5)
    for number in range(200):
        metrics.query_ended(f"statement_{number}", seconds=0.1)
    families_by_name = {family.name: family for family in metrics.registry.collect()}
    queries = families_by_name["trading_database_query_duration_seconds"]
    statements = {sample.labels["statement"] for sample in queries.samples}
    assert len(statements) == STATEMENTS + 1
    assert_values(
        metrics,
        ("trading_queue_wait_seconds_count", {"queue": "inbox"}, 1),
        ("trading_signals_total", {"source": "cross", "outcome": "ok"}, 1),
        ("trading_database_pool_wait_seconds_count", {"pool": "main"}, 1),
        ("trading_venue_rate_limit_used_ratio", {"group": "orders"}, 0.5),
        ("trading_database_query_duration_seconds_count", {"statement": OTHER}, 200 - STATEMENTS),
    )


def test_depths_are_read_when_someone_scrapes(metrics: BotMetrics) -> None:
    """Each scrape reads again, in the direct exposition too; a failed read is NaN."""
    inbox: list[int] = []
    metrics.watch_queue("orders", inbox.__len__, capacity=10)
    assert value(metrics, "trading_queue_depth", queue="orders") == 0
    inbox += [1, 2]
    body, _ = Exposition(metrics.registry).everything()
    assert b'trading_queue_depth{queue="orders"} 2' in body
    assert value(metrics, "trading_queue_capacity", queue="orders") == 10

    def broken() -> float:
        raise RuntimeError("gone")

    metrics.watch_queue("orders", broken)
    assert math.isnan(value(metrics, "trading_queue_depth", queue="orders") or 0.0)


def test_exemplars_lead_to_an_order_or_a_trace(metrics: BotMetrics) -> None:
    """OpenMetrics carries whose the latest observation of a bucket was."""
    metrics.order_acknowledged(0.02, order_id="o-1")
    metrics.order_filled(0.2, order_id="o-2")
    metrics.venue_request("Balance", code="ok", seconds=0.02, trace_id="t-1")
    metrics.signal("model", seconds=0.02, trace_id="t-2")
    with metrics.query("insert_trade", trace_id="t-3"):
        pass
    body, _ = Exposition(metrics.registry).everything("application/openmetrics-text")
    found = {
        line.partition("{")[0]: line.partition(" # ")[2].partition("}")[0]
        for line in body.decode().splitlines()
        if " # " in line and not line.startswith("#")
    }
    assert found == {
        "trading_order_duration_seconds_bucket": '{order_id="o-1"',
        "trading_order_fill_duration_seconds_bucket": '{order_id="o-2"',
        "trading_venue_request_duration_seconds_bucket": '{trace_id="t-1"',
        "trading_signal_duration_seconds_bucket": '{trace_id="t-2"',
        "trading_database_query_duration_seconds_bucket": '{trace_id="t-3"',
    }


def test_defaults_read_the_clock() -> None:
    """Without a time, a heartbeat and a success are now, and the start is now."""
    before = time.time()  # noqa: TID251 - this is what the package itself reads
    metrics = BotMetrics(version="1", mode="paper")
    metrics.heartbeat()
    metrics.component_succeeded("store")
    for name, labels in (
        ("trading_bot_start_timestamp_seconds", {}),
        ("trading_bot_heartbeat_timestamp_seconds", {}),
        ("trading_component_last_success_timestamp_seconds", {"component": "store"}),
    ):
        stamp = metrics.registry.get_sample_value(name, labels)
        assert stamp is not None
        assert stamp >= before


def test_undeclared_values_share_one_series(metrics: BotMetrics) -> None:
    """A thousand symbols that no one declared make one more series, not a thousand."""
    for number in range(1000):
        metrics.tick(f"JUNK{number}/USD", at=float(number))
        metrics.venue_request(f"junk{number}", code=f"junk{number}", seconds=0.1)
    assert value(metrics, "trading_market_data_messages_total", symbol=OTHER) == 1000
    assert value(metrics, "trading_venue_requests_total", endpoint=OTHER, code=OTHER) == 1000
    assert value(metrics, "trading_market_data_messages_total", symbol="JUNK1/USD") is None


def test_nothing_is_lost_between_threads(metrics: BotMetrics) -> None:
    """Counts from several threads add up."""

    def count() -> None:
        for _ in range(2000):
            metrics.tick("BTC/USD", at=1.0)
            metrics.tick("LTC/USD", at=1.0)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(metrics, "trading_market_data_messages_total", symbol="BTC/USD") == 8000
    assert value(metrics, "trading_market_data_messages_total", symbol=OTHER) == 8000


def test_family_of_the_wrong_kind_is_refused() -> None:
    """Building a gauge from a counter's entry is a mistake that shows at once."""
    with pytest.raises(ValueError, match="is a counter"):
        families.gauge("trading_orders_total", CollectorRegistry())
