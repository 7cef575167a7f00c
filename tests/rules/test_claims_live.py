"""Bots that lie, scraped by a real Prometheus with the shipped configuration and rules."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.rules.running_prometheus import run_prometheus
from tests.waiting import eventually

pytestmark = pytest.mark.slow

HONEST = 'trading_component_up{component="broker"} 1\n'
LIES = """\
trading_venue_up{venue="paper"} 1
trading_venue_status{status="maintenance",venue="paper"} 1
trading_host_disk_free_bytes{path="/var"} 1
trading_ops_notice{message="call this number",target="alpha"} 1
trading_ops_watchdog_last_seen_timestamp_seconds 9e12
fleet:trading_daily_loss:sum{currency="USD"} 1e9
prometheus_notifications_errors_total 99
ALERTS{alertname="TradingVenueDown",alertstate="firing",remediation="auto"} 1
up{job="trading-reconciler"} 1
"""
FLOOD = HONEST + "".join(f'trading_mybot_orders{{order="{number}"}} 1\n' for number in range(6000))
LONG_LABEL = HONEST + f'trading_mybot_error{{text="{"x" * 5000}"}} 1\n'


@asynccontextmanager
async def serving(text: str) -> AsyncIterator[str]:
    """Answer every scrape with this text; yields the address."""

    async def show(_request: web.Request) -> web.Response:
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application()
    app.router.add_get("/metrics/vital", show)
    app.router.add_get("/metrics", show)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.close()


async def values(address: str, query: str) -> dict[str, float]:
    """Return the value of a query by bot."""
    found = await _result(address, query)
    return {sample["metric"].get("bot", ""): float(sample["value"][1]) for sample in found}


async def _result(address: str, query: str) -> list[dict[str, Any]]:
    url = f"http://{address}/api/v1/query"
    async with aiohttp.ClientSession() as session, session.get(url, params={"query": query}) as got:
        result: list[dict[str, Any]] = (await got.json())["data"]["result"]
        return result


async def test_a_lying_bot_adds_no_series_but_its_own(tmp_path: Path) -> None:
    """What it says of others is dropped from both jobs; what it says of itself is stored."""
    async with (
        serving(HONEST + LIES) as liar,
        run_prometheus(tmp_path, alertmanagers=[], bots={"liar": liar}) as prometheus,
    ):

        async def is_scraped() -> bool:
            up = await _result(prometheus, 'up{bot="liar"} == 1')
            return {sample["metric"]["job"] for sample in up} == {
                "trading-bot",
                "trading-bot-detail",
            }

        await eventually(is_scraped, within=30, what="both jobs to scrape the bot")
        stored = {
            sample["metric"]["__name__"]
            for sample in await _result(prometheus, '{bot="liar",job!=""}')
        }
        by_prometheus = {name for name in stored if name.startswith("scrape_")} | {"up"}
        assert stored - by_prometheus == {"trading_component_up"}
        assert await values(prometheus, 'count({bot="liar",__name__="up"})') == {"": 2}


async def test_a_bot_over_a_limit_is_not_down_but_rejected(tmp_path: Path) -> None:
    """Too many samples, or a label that is too long: nothing is stored, and nothing restarts it."""
    async with (
        serving(FLOOD) as flood,
        serving(LONG_LABEL) as long_label,
        serving(HONEST) as honest,
    ):
        bots = {"flood": flood, "long": long_label, "honest": honest}
        async with run_prometheus(tmp_path, alertmanagers=[], bots=bots) as prometheus:

            async def rejected() -> bool:
                query = 'ALERTS{alertname="TradingBotMetricsRejected",alertstate="firing"}'
                return set(await values(prometheus, query)) == {"flood", "long"}

            await eventually(rejected, within=90, what="both to be reported as rejected")
            vital = '{job="trading-bot",__name__=~"trading_mybot_.+|trading_component_up"}'
            assert await values(prometheus, f"count by (bot) ({vital})") == {"honest": 1}
            down = 'count by (bot) (last_over_time(ALERTS{alertname="TradingBotDown"}[10m]))'
            assert await values(prometheus, down) == {}
            assert (await values(prometheus, 'up{job="trading-bot"}'))["honest"] == 1
