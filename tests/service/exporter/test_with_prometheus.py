"""Prometheus' own linter, and a Prometheus with the shipped configuration and rules."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.registry import Collector

from tests.free_ports import free_port
from tests.rules.configuration import METRICS_TOKEN
from tests.rules.running_prometheus import run_prometheus
from tests.service.exporter.freqtrades import TIMEFRAME, FakeFreqtrade, entry
from tests.service.exporter.venues import FakeVenue
from tests.unit.stack.registries import changed
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.exporter.config import ExporterConfig, VenueEntry
from trading_ops.exporter.server import serving
from trading_ops.instrument.catalogue import EXPORTER_METRICS
from trading_ops.instrument.families import family
from trading_ops.project.discovery import discovery

TEXT = "text/plain"
OPENMETRICS = "application/openmetrics-text"
SLOWLY = 45.0
PATHS = (
    "/metrics",
    "/metrics?bot=freq",
    "/metrics/vital?bot=freq",
    "/metrics?bot=freq&exclude=vital",
)


@dataclass
class Relay:
    """Between Prometheus and the exporter: asks for one format, and notes what came."""

    accept: str
    to: str
    types: set[str] = field(default_factory=set)

    async def pass_on(self, request: web.Request) -> web.Response:
        headers = {"Authorization": request.headers["Authorization"], "Accept": self.accept}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{self.to}{request.path_qs}", headers=headers) as answer,
        ):
            if answer.status == 200:
                self.types.add(answer.headers["Content-Type"].partition(";")[0])
            return web.Response(
                status=answer.status,
                body=await answer.read(),
                headers={"Content-Type": answer.headers["Content-Type"]},
            )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        application = web.Application()
        application.router.add_get("/{path:.*}", self.pass_on)
        async with TestServer(application) as server:
            yield f"{server.host}:{server.port}"


@asynccontextmanager
async def exporting(folder: Path, freqtrade: str) -> AsyncIterator[str]:
    """Run an exporter of the host, a venue and one Freqtrade; gives its address."""
    token = folder / "token"
    token.write_text(METRICS_TOKEN)
    address = f"127.0.0.1:{free_port()}"
    async with FakeVenue().serving() as venue:
        config = ExporterConfig(
            address, token, (VenueEntry("paper", venue),), (folder,), (entry(folder, freqtrade),)
        )
        async with serving(config):
            yield address


@dataclass
class Asked:
    """A Prometheus that can be asked."""

    address: str
    session: aiohttp.ClientSession

    async def query(self, promql: str) -> list[dict[str, Any]]:
        url = f"http://{self.address}/api/v1/query"
        async with self.session.get(url, params={"query": promql}) as answer:
            result: list[dict[str, Any]] = (await answer.json())["data"]["result"]
        return result

    async def until(self, promql: str, count: int = 1) -> list[dict[str, Any]]:
        async def found() -> list[dict[str, Any]] | None:
            result = await self.query(promql)
            return result if len(result) == count else None

        found_at_last: list[dict[str, Any]] = await eventually(found, within=SLOWLY, what=promql)
        return found_at_last

    async def firing(self, alert: str) -> dict[str, str]:
        (found,) = await self.until(f'ALERTS{{alertname="{alert}",alertstate="firing"}}')
        labels: dict[str, str] = found["metric"]
        return labels


@asynccontextmanager
async def scraping(folder: Path, exporter: str, freqtrade: str) -> AsyncIterator[Asked]:
    """Run a Prometheus with the discovery files that targets.yml leads to."""
    name = "  - name: exporter\n"
    bot = f"  - {{name: freq, kind: freqtrade, venue: binance, address: '{freqtrade}'}}\n"
    registry = changed((name, bot + name), ("127.0.0.1:8421", exporter))
    async with (
        run_prometheus(folder, alertmanagers=[]) as address,
        aiohttp.ClientSession() as session,
    ):
        files = discovery(registry)
        of_freqtrade = [group for group in files["bots"] if group["labels"]["bot"] == "freq"]
        for file, groups in (("bots", of_freqtrade), ("exporters", files["exporters"])):
            (folder / "targets" / f"{file}.json").write_text(json.dumps(groups))
        yield Asked(address, session)


@pytest.mark.parametrize("path", PATHS)
async def test_the_linter_finds_nothing_to_say(tmp_path: Path, path: str) -> None:
    """Each whole exposition passes `promtool check metrics`, and is proper OpenMetrics."""
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    async with (
        FakeFreqtrade().serving() as freqtrade,
        exporting(tmp_path, freqtrade) as address,
        aiohttp.ClientSession(f"http://{address}", headers=headers) as session,
    ):
        async with session.get(path, headers={"Accept": TEXT}) as answer:
            text = await answer.read()
        async with session.get(path, headers={"Accept": f"{OPENMETRICS};version=1.0.0"}) as answer:
            assert answer.content_type == OPENMETRICS
            openmetrics = await answer.text()
    found = await asyncio.to_thread(
        subprocess.run,
        ["promtool", "check", "metrics"],
        input=text,
        capture_output=True,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")
    assert text.count(b"\n") > 10
    assert list(parse_openmetrics(openmetrics))  # type: ignore[no-untyped-call]  # no hint there


def test_the_linter_finds_nothing_to_say_of_any_metric() -> None:
    """Those that only other machines or other configurations have among them."""

    class Everything(Collector):
        def collect(self) -> Iterator[Metric]:
            for metric in EXPORTER_METRICS:
                yield family(metric.name, {tuple("x" for _ in metric.labels): 1.0})

    registry = CollectorRegistry()
    registry.register(Everything())
    found = subprocess.run(
        ["promtool", "check", "metrics"],
        input=generate_latest(registry),
        capture_output=True,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")


@pytest.mark.parametrize("accept", [TEXT, f"{OPENMETRICS};version=1.0.0"])
async def test_prometheus_scrapes_it(tmp_path: Path, accept: str) -> None:
    """Under the jobs of our own bots, as `bot` and `venue`, every series under one job only."""
    async with (
        FakeFreqtrade().serving() as freqtrade,
        exporting(tmp_path, freqtrade) as exporter,
    ):
        relay = Relay(accept, exporter)
        async with (
            relay.serving() as relayed,
            scraping(tmp_path / "prometheus", relayed, freqtrade) as prometheus,
        ):
            up = await prometheus.until('up{bot="freq"} == 1', count=2)
            assert {sample["metric"]["job"] for sample in up} == {
                "trading-bot",
                "trading-bot-detail",
            }
            (state,) = await prometheus.until('trading_state{bot="freq"} == 1')
            labels = state["metric"]
            assert (labels["state"], labels["venue"]) == ("active", "binance")
            assert labels["instance"] == freqtrade
            assert await prometheus.until('trading_freqtrade_open_trades{venue="binance"} == 2')
            assert await prometheus.until('trading_venue_up{job="trading-exporter"} == 1')
            assert await prometheus.until('trading_position{symbol="SOL/USDT"} == -1.5')
            of_it = 'group by (__name__, job) ({bot="freq",__name__=~"trading_.+"})'
            assert not await prometheus.query(f"count by (__name__) ({of_it}) > 1")
            assert not await prometheus.query('ALERTS{bot="freq"}')
        assert relay.types == {accept.partition(";")[0]}


async def test_the_rules_of_our_own_bots_serve_it(tmp_path: Path) -> None:
    """An exchange that is down, and then a process that is dead: the shipped alerts fire."""
    fake = FakeFreqtrade()
    port = free_port()
    freqtrade = f"127.0.0.1:{port}"
    async with (
        exporting(tmp_path, freqtrade) as exporter,
        scraping(tmp_path / "prometheus", exporter, freqtrade) as prometheus,
    ):
        async with fake.serving(port):
            await prometheus.until('trading_component_up{bot="freq",component="broker"} == 1')
            fake.warn(20)
            fake.candle_opened = clock.timestamp() - 3 * TIMEFRAME - 10
            for alert, component in (
                ("TradingBotBrokerDisconnected", "broker"),
                ("TradingBotMarketDataStale", "feed"),
            ):
                labels = await prometheus.firing(alert)
                assert labels["component"] == component
                assert (labels["bot"], labels["venue"]) == ("freq", "binance")
        labels = await prometheus.firing("TradingBotDown")
    assert (labels["bot"], labels["venue"]) == ("freq", "binance")
