"""BotMetrics records what a bot does, with bounded labels, from any thread."""

import threading
import time

import pytest
from prometheus_client import CollectorRegistry

from trading_ops.instrument import BotMetrics, families
from trading_ops.instrument.labels import OTHER


@pytest.fixture
def metrics() -> BotMetrics:
    return BotMetrics(
        CollectorRegistry(),
        version="1.2",
        mode="paper",
        symbols=["BTC/USD"],
        currencies=["USD"],
        endpoints=["Balance"],
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
        ("trading_balance", (("currency", "USD"),)): 100,
        ("trading_equity", (("currency", "USD"),)): 120,
        ("trading_realized_pnl", (("currency", "USD"),)): -1,
        ("trading_unrealized_pnl", (("currency", "USD"),)): 2,
    }
    for (name, labels), wanted in expected.items():
        assert value(metrics, name, **dict(labels)) == wanted, name


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
    """A thousand symbols that nobody declared make one more series, not a thousand."""
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
