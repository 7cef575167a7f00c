"""A real Prometheus scrapes a bot in each format, and has what the recorder has."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry, Gauge

from tests.free_ports import free_port
from tests.rules.running_alertmanager import wait_until_ready
from tests.unit.instrument.test_negotiation import PROMETHEUS_2_42, PROMETHEUS_3, PROMETHEUS_3_TEXT
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.instrument import BotMetrics, Exposition, View
from trading_ops.instrument.serving import serve_metrics

pytestmark = pytest.mark.processes

HOSTILE = 'a"b\\c\nd%s💥'
ACCEPTS = {
    "text": "text/plain;version=0.0.4",
    "openmetrics": PROMETHEUS_2_42,
    "as-3": PROMETHEUS_3,
    "text-as-3": PROMETHEUS_3_TEXT,
}
"""By job: what is asked for on behalf of a Prometheus that cannot be configured to request it."""

AS_IT_ASKS = "as-it-asks"
"""The job that is answered by what a bot really serves with."""


def recorded() -> BotMetrics:
    """Return the metrics of a bot to which everything has happened that is hard to write."""
    metrics = BotMetrics(
        CollectorRegistry(),
        version=HOSTILE,
        mode="paper",
        symbols=["BTC/USD", HOSTILE],
        currencies=["USD", "BTC", "ETH"],
        endpoints=["Balance"],
    )
    for latency in (0.001, 0.05, 0.050001, 7.0, math.inf):
        metrics.tick("BTC/USD", at=1.7e9 + 0.123456, latency_seconds=latency, price=0.1 + 0.2)
    metrics.tick(HOSTILE, at=1.7e9, latency_seconds=0.0, price=math.inf)
    metrics.balance("USD", 1e22)
    metrics.balance("BTC", -1.5e-9)
    metrics.balance("ETH", math.nan)
    metrics.venue_request("Balance", code="ok", seconds=0.25)
    # Prometheus 2.42 keeps the backslashes in an exemplar's value, so its id is an easy one.
    metrics.order_acknowledged(0.3, order_id="OQCLML-BW3P3")
    metrics.order_ended("filled", order_id="O-1")
    Gauge("mine", "Of the author's own.", ["kind"], registry=metrics.registry).labels("a").set(2)
    return metrics


def samples(metrics: BotMetrics) -> dict[tuple[str, ...], str]:
    """Return every sample of the registry, as Prometheus tells them."""
    return {
        _key({"__name__": sample.name, **sample.labels}): repr(float(sample.value))
        for family in metrics.registry.collect()
        for sample in family.samples
    }


def _key(labels: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in sorted(labels.items()))


@asynccontextmanager
async def serving(metrics: BotMetrics) -> AsyncIterator[str]:
    """Serve the exposition under the name of each job, in that job's format."""
    exposition = Exposition(metrics.registry)

    async def answer(request: web.Request) -> web.Response:
        accept = ACCEPTS[request.match_info["job"]]
        body, content_type = await exposition.sliced(View.EVERYTHING, accept)
        return web.Response(body=body, headers={"Content-Type": content_type})

    application = web.Application()
    application.router.add_get("/{job}", answer)
    async with TestServer(application) as server:
        yield f"{server.host}:{server.port}"


@asynccontextmanager
async def scraping(folder: Path, formats: str, bot: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Run a Prometheus with a job for each format, and one for the bot's own server."""
    jobs = [
        {"job_name": job, "metrics_path": f"/{job}", "static_configs": [{"targets": [formats]}]}
        for job in ACCEPTS
    ]
    jobs.append({"job_name": AS_IT_ASKS, "static_configs": [{"targets": [bot]}]})
    config = folder / "prometheus.yml"
    config.write_text(
        yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}), "ascii"
    )
    address = f"127.0.0.1:{free_port()}"
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            "--enable-feature=exemplar-storage",
            stdout=output,
            stderr=output,
        )
    try:
        async with aiohttp.ClientSession(f"http://{address}") as session:
            await wait_until_ready(session, address, log)
            yield session
    finally:
        process.terminate()
        await process.wait()


async def query_api(session: aiohttp.ClientSession, path: str, **asked: str) -> Any:
    """Return what Prometheus' API answers."""
    async with session.get(f"/api/v1/{path}", params=asked) as answer:
        return (await answer.json())["data"]


async def stored(session: aiohttp.ClientSession, job: str) -> dict[tuple[str, ...], str]:
    """Return every sample that Prometheus has of a job, without what it adds itself."""
    found = (await query_api(session, "query", query=f'{{job="{job}"}}'))["result"]
    for series in found:
        del series["metric"]["job"], series["metric"]["instance"]
    return {
        _key(series["metric"]): repr(float(series["value"][1]))
        for series in found
        if not series["metric"]["__name__"].startswith(("scrape_", "up"))
    }


async def exemplars(session: aiohttp.ClientSession, metric: str) -> dict[str, set[tuple[str, str]]]:
    """Return by job the orders that Prometheus knows as exemplars, and their values."""
    now = clock.timestamp()
    found = await query_api(
        session, "query_exemplars", query=metric, start=str(now - 300), end=str(now + 300)
    )
    return {
        series["seriesLabels"]["job"]: {
            (exemplar["labels"]["order_id"], exemplar["value"]) for exemplar in series["exemplars"]
        }
        for series in found
    }


async def test_prometheus_has_what_the_recorder_has(tmp_path: Path) -> None:
    """Each series with its very value, in text and OpenMetrics, as 2.42 and as 3 ask for them."""
    metrics = recorded()
    wanted = samples(metrics)
    served = serve_metrics(metrics, port=0)
    try:
        async with (
            serving(metrics) as formats,
            scraping(tmp_path, formats, f"127.0.0.1:{served.port}") as session,
        ):
            for job in (*ACCEPTS, AS_IT_ASKS):

                async def up(job: str = job) -> bool:
                    result = await query_api(session, "query", query=f'up{{job="{job}"}} == 1')
                    return bool(result["result"])

                await eventually(up, within=30, what=f"a scrape of {job}")
                assert await stored(session, job) == wanted
            slow = await exemplars(session, "trading_order_duration_seconds_bucket")
            filled = await exemplars(session, "trading_orders_total")
    finally:
        served.close()
    with_exemplars = ("openmetrics", "as-3", AS_IT_ASKS)
    assert slow == {job: {("OQCLML-BW3P3", "0.3")} for job in with_exemplars}
    assert filled == {job: {("O-1", "1")} for job in with_exemplars}


@pytest.mark.parametrize("accept", ACCEPTS.values(), ids=ACCEPTS)
def test_the_jobs_are_of_different_formats(accept: str) -> None:
    """Else the test above would look at one of them only."""
    _, content_type = Exposition(recorded().registry).everything(accept)
    openmetrics = content_type.startswith("application/openmetrics-text")
    assert openmetrics is accept.startswith("application/openmetrics-text")
    assert ("escaping=allow-utf-8" in content_type) is ("allow-utf-8" in accept)
