"""The examples under a real Prometheus with the shipped configuration and rules, unchanged."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.rules.running_prometheus import run_prometheus
from tests.service.examples.running import Example, running
from tests.waiting import eventually

pytestmark = pytest.mark.processes

FILES = {"asynced": "asyncio_bot.py", "threaded": "threaded_bot.py", "bare": "bare_metrics.py"}
GRACE_SECONDS = 14
"""After a start; whatever would fire because a metric is missing or wrong has fired by then."""

PATIENCE_SECONDS = 60.0


@dataclass
class Asked:
    """A Prometheus that can be asked."""

    address: str
    session: aiohttp.ClientSession

    async def query(self, promql: str) -> list[dict[str, str]]:
        """Return the labels of what a query finds."""
        url = f"http://{self.address}/api/v1/query"
        async with self.session.get(url, params={"query": promql}) as answer:
            found: list[dict[str, Any]] = (await answer.json())["data"]["result"]
        return [series["metric"] for series in found]

    async def until(self, promql: str, bots: set[str]) -> list[dict[str, str]]:
        """Wait until a query finds exactly these bots."""

        async def found() -> list[dict[str, str]] | None:
            labels = await self.query(promql)
            return labels if {of_series["bot"] for of_series in labels} == bots else None

        last: list[dict[str, str]] = await eventually(found, within=PATIENCE_SECONDS, what=promql)
        return last


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[tuple[Asked, dict[str, Example]]]:
    """Run the examples, and a Prometheus that scrapes them with its token."""
    async with AsyncExitStack() as stack:
        bots = {
            name: await stack.enter_async_context(running(file, folder / name))
            for name, file in FILES.items()
        }
        addresses = {name: bot.address for name, bot in bots.items()}
        prometheus = await stack.enter_async_context(
            run_prometheus(folder / "prometheus", alertmanagers=[], bots=addresses)
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Asked(prometheus, session), bots


async def test_they_are_watched_and_missed(tmp_path: Path) -> None:
    """Both jobs scrape all of them; nothing fires while they are healthy, and each death does."""
    names = set(FILES)
    async with watched(tmp_path) as (prometheus, bots):
        for job in ("trading-bot", "trading-bot-detail"):
            await prometheus.until(f'up{{job="{job}"}} == 1', names)
        await prometheus.until("trading_market_data_messages_total > 0", names)
        age = "time() - trading_bot_start_timestamp_seconds"
        await prometheus.until(f"{age} > {GRACE_SECONDS}", names)
        alerts = 'ALERTS{bot!=""}'
        assert not await prometheus.query(alerts)
        twice = 'group by (__name__, bot, job) ({bot!="",__name__=~"trading_.+"})'
        assert not await prometheus.query(f"count by (__name__, bot) ({twice}) > 1")
        for bot in bots.values():
            await bot.kill()
        fired = await prometheus.until(f'{alerts[:-1]},alertstate="firing"}}', names)
        assert {labels["alertname"] for labels in fired} == {"TradingBotDown"}
        assert {labels["venue"] for labels in fired} == {"paper"}
