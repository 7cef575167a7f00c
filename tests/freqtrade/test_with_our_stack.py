"""A real Freqtrade, exported, alerted on, halted, killed and resumed by the shipped stack.

Prometheus, Alertmanager, rules, exporter and reconciler are those of `make up`.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.freqtrade.conftest import NAME, StackWithFreqtrade
from tests.freqtrade.real import PAIRS, Exchange, RealFreqtrade, patiently
from trading_ops.domain.target import Kind
from trading_ops_lab.drills.lab_clients import Scene

STALE = "TradingBotMarketDataStale"
FROZEN_SECONDS = 25
WATCHED_SECONDS = 60


class Scrapes:
    """What a scrape of the Freqtrade has, and what Prometheus made of it."""

    def __init__(self, stack: StackWithFreqtrade, session: aiohttp.ClientSession) -> None:
        exporter, prometheus = (
            stack.registry.one(kind).address for kind in (Kind.EXPORTER, Kind.PROMETHEUS)
        )
        self._url = f"http://{exporter}/metrics?bot={NAME}"
        self._query = f"http://{prometheus}/api/v1/query"
        self._headers = {"Authorization": f"Bearer {stack.settings.secret('metrics_token')}"}
        self._session = session

    async def now(self) -> dict[str, float]:
        """Return every sample, with its label values after colons."""
        async with self._session.get(self._url, headers=self._headers) as answer:
            assert answer.status == 200, await answer.text()
            text = await answer.text()
        return {
            ":".join([sample.name, *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def stored(self, metric: str, **labels: str) -> float | None:
        """Return what Prometheus has of a series of this bot now."""
        chosen = ",".join(f'{key}="{value}"' for key, value in {"bot": NAME, **labels}.items())
        params = {"query": f"{metric}{{{chosen}}}"}
        async with self._session.get(self._query, params=params) as answer:
            found = (await answer.json())["data"]["result"]
        return float(found[0]["value"][1]) if found else None


@pytest.fixture
async def scrapes(stack: StackWithFreqtrade) -> AsyncIterator[Scrapes]:
    async with aiohttp.ClientSession() as session:
        yield Scrapes(stack, session)


async def test_it_is_exported(real: RealFreqtrade, scrapes: Scrapes) -> None:
    """Each figure is what its own API says, under the names of our own bots."""

    async def agree() -> bool:
        count, profit, config = (
            real.get(f"/{endpoint}") for endpoint in ("count", "profit", "show_config")
        )
        trades, health, locks = (
            real.get(f"/{endpoint}") for endpoint in ("status", "health", "locks")
        )
        balance = real.get("/balance")
        seen = await scrapes.now()
        expected = {
            f"trading_bot_info:paper:{config['version']}": 1,
            "trading_freqtrade_info:binance:AlwaysEnters:1m": 1,
            "trading_bot_start_timestamp_seconds": health["bot_startup_ts"],
            "trading_state:active": 1,
            "trading_state:halted": 0,
            "trading_freqtrade_open_trades": count["current"],
            "trading_freqtrade_max_open_trades": config["max_open_trades"],
            "trading_freqtrade_exposure:USDT": pytest.approx(count["total_stake"]),
            "trading_open_orders": sum(o["is_open"] for t in trades for o in t["orders"]),
            "trading_open_positions": len({trade["pair"] for trade in trades}),
            "trading_realized_pnl:USDT": pytest.approx(profit["profit_closed_coin"]),
            "trading_freqtrade_closed_trades_total": profit["closed_trade_count"],
            "trading_freqtrade_won_trades_total": profit["winning_trades"],
            "trading_freqtrade_max_drawdown_ratio": pytest.approx(profit["max_drawdown"]),
            "trading_freqtrade_locks:global": locks["lock_count"],
            "trading_freqtrade_starting_capital:USDT": pytest.approx(
                balance["starting_capital"], rel=1e-4
            ),
            "trading_equity:USDT": pytest.approx(balance["total_bot"], rel=1e-3),
            "trading_component_up:broker": 1,
            "trading_component_up:feed": 1,
            "trading_component_up:heartbeat": 1,
            "trading_freqtrade_timeframe_seconds": 60,
        }
        for trade in trades:
            expected[f"trading_position:{trade['pair']}"] = pytest.approx(trade["amount"])
            unrealized = pytest.approx(trade["profit_abs"], abs=0.5)
            expected[f"trading_position_unrealized_pnl:{trade['pair']}"] = unrealized
        for pair in PAIRS:
            query = f"/pair_candles?pair={pair}&timeframe=1m&limit=1"
            stop = real.get(query)["data_stop_ts"] / 1000
            expected[f"trading_freqtrade_candle_timestamp_seconds:{pair}"] = stop
        disagreements.clear()
        disagreements.update(
            {
                name: (seen.get(name), value)
                for name, value in expected.items()
                if seen.get(name) != value
            }
        )
        return not disagreements

    disagreements: dict[str, object] = {}
    await patiently(real.open_trades, within=90, what="an entry of the strategy")
    try:
        await patiently(agree, within=90)
    except AssertionError as error:
        raise AssertionError(f"reported and actual: {disagreements}") from error


async def test_prometheus_has_it_as_one_of_our_bots(scrapes: Scrapes) -> None:
    """The same job, `up`, and label `venue`, by the shipped configuration."""
    labels = {"job": "trading-bot", "venue": "binance"}
    await patiently(lambda: scrapes.stored("up", **labels), within=30)
    await patiently(lambda: scrapes.stored("trading_state", state="active", **labels), within=30)

    async def candles() -> bool:
        return await scrapes.stored("trading_freqtrade_timeframe_seconds") == 60

    await patiently(candles, within=30)


async def test_halted_killed_restarted_still_halted_and_resumed(
    real: RealFreqtrade, stack: StackWithFreqtrade, scrapes: Scrapes
) -> None:
    """By our own commands; the reconciler applies the pause again after a `kill -9`."""
    asked = ("--reason", "odd fills", "--owner", "ada")
    done = stack.run("halt", NAME, *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (real.state, len(real.global_locks())) == ("paused", 1)
    await patiently(lambda: scrapes.stored("trading_state", state="halted"), within=20)
    assert f"{NAME} is HALTED by ada" in stack.run("status").stdout

    real.post("/forceexit", {"tradeid": "all", "ordertype": "market"})
    await patiently(lambda: real.open_trades() == 0, within=30)

    assert real.end(signal.SIGKILL) == -signal.SIGKILL
    real.start()
    assert len(real.global_locks()) == 1, "the lock did not outlive kill -9"
    await patiently(lambda: real.state == "paused", within=60, what="the reconciler's pause")
    await patiently(lambda: scrapes.stored("trading_state", state="halted"), within=20)
    analyzed = real.get("/pair_candles?pair=BTC/USDT&timeframe=1m&limit=1")["last_analyzed_ts"]

    def next_candle() -> bool:
        path = "/pair_candles?pair=BTC/USDT&timeframe=1m&limit=1"
        return bool(real.get(path)["last_analyzed_ts"] > analyzed)

    await patiently(next_candle, within=90)
    assert real.open_trades() == 0, "it entered while it was halted"
    assert real.state == "paused"

    done = stack.run("resume", NAME, "--reason", "explained", "--owner", "ada")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (real.state, real.global_locks()) == ("running", [])
    await patiently(lambda: real.open_trades() == 2, within=90, what="entries after the resume")
    await patiently(lambda: scrapes.stored("trading_state", state="active"), within=20)


async def test_it_survives_a_freeze(real: RealFreqtrade, scrapes: Scrapes) -> None:
    """Nothing queues in its listener that would exhaust its database pool when it goes on."""
    real.send(signal.SIGSTOP)
    try:
        await asyncio.sleep(FROZEN_SECONDS)
    finally:
        real.send(signal.SIGCONT)
    # Flooded, its trading loop used to end after 30 to 36 s.
    went_on = time.monotonic()
    await patiently(lambda: real.loop_age < 10, within=60, what="a loop after the freeze")

    async def is_scraped() -> bool:
        return await scrapes.stored("up", job="trading-bot") == 1

    await patiently(is_scraped, within=30)
    await patiently(lambda: time.monotonic() - went_on > WATCHED_SECONDS, within=WATCHED_SECONDS)
    assert real.running.poll() is None, real.log[-2000:]
    await patiently(lambda: real.loop_age < 10, within=30, what="a loop well after the freeze")
    assert "QueuePool limit" not in real.log


async def test_its_messages_are_counted(real: RealFreqtrade, scrapes: Scrapes) -> None:
    """What only the WebSocket tells: orders by how they ended."""
    before = (await scrapes.now())["trading_orders_total:filled"]
    real.post("/forceexit", {"tradeid": "all", "ordertype": "market"})

    async def filled() -> bool:
        return (await scrapes.now())["trading_orders_total:filled"] >= before + 2

    await patiently(filled, within=30)
    assert (await scrapes.now())["trading_freqtrade_messages_total:other"] == 0


async def test_an_exchange_that_is_away_is_alerted_on(
    real: RealFreqtrade, exchange: Exchange, scrapes: Scrapes, scene: Scene
) -> None:
    """Freqtrade's own health stays good; its log and its candles' age tell it. It ends alone."""
    await patiently(real.open_trades, within=90)
    before = await scrapes.now()
    warned = before["trading_freqtrade_exchange_warnings_total"]

    async def fires(alert: str) -> bool:
        alerts = (await scene.prometheus.view()).alerts.values()
        return any(
            seen_alert.firing and seen_alert.name == alert and seen_alert.labels.get("bot") == NAME
            for seen_alert in alerts
        )

    exchange.mode("down")
    try:

        async def broker_is_down() -> bool:
            return (await scrapes.now())["trading_component_up:broker"] == 0

        await patiently(broker_is_down, within=30)
        await patiently(lambda: fires("TradingBotBrokerDisconnected"), within=30)
        await patiently(lambda: fires(STALE), within=200)
        assert real.state == "running"
        assert real.loop_age < 30
        assert real.ask("GET", "/balance")[0] == real.ask("GET", "/profit")[0] == 200
        assert not await fires("TradingBotDown")
        seen = await scrapes.now()
        assert seen["trading_component_up:feed"] == 0
        assert seen["trading_component_up:heartbeat"] == 1
        assert seen["trading_freqtrade_exchange_warnings_total"] > warned + 20
        # At the last known prices, or not at all; never as if all that is held were worth nothing.
        equity = before["trading_equity:USDT"]
        assert seen.get("trading_equity:USDT", equity) == pytest.approx(equity, rel=0.01)
    finally:
        exchange.mode("ok")

    async def all_is_over() -> bool:
        return not (await fires(STALE) or await fires("TradingBotBrokerDisconnected"))

    async def candle_measured() -> bool:
        delay = "trading_freqtrade_candle_delay_seconds"
        return (await scrapes.now()).get(f"{delay}_count:{PAIRS[0]}", 0) >= 1

    await patiently(all_is_over, within=150)
    # Two candles after one another came in that time, and with them the delay of the second.
    await patiently(candle_measured, within=150)
