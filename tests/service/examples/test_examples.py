"""Each example that docs/instrument-your-bot.md shows runs, and does what the page says."""

import asyncio
import contextlib
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import prometheus_client
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from tests.rules.configuration import ROOT
from tests.service.examples.price_source import PriceSource
from tests.service.examples.running import AGENT_TOKEN, Example, running
from tests.service.venue.harness import Files, VenueProcess
from tests.waiting import eventually

pytestmark = pytest.mark.processes

WITH_AGENT = ["asyncio_bot.py", "threaded_bot.py"]
LIGHT = ["bare_metrics.py", *WITH_AGENT]
TICKS, ORDERS = "trading_market_data_messages_total", "trading_orders_total"
DENIALS, REQUESTS = "trading_order_denials_total", "trading_venue_requests_total"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


@pytest.fixture
async def example(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Example]:
    async with running(request.param, tmp_path / "bot") as example:
        yield example


@pytest.mark.parametrize("example", LIGHT, indirect=True)
async def test_it_serves_metrics_that_move(example: Example) -> None:
    """Clean by Prometheus' own linter, proper OpenMetrics, with passes that are done."""
    for path in ("/metrics", "/metrics?exclude=vital", "/metrics/vital"):
        _, text = await example.get(path)
        await lint(text)
    _, openmetrics = await example.get("/metrics", accept=OPENMETRICS)
    assert list(parse_openmetrics(openmetrics))  # type: ignore[no-untyped-call]  # no hint there
    before = await example.value(TICKS, symbol="BTC/USD")
    assert before is not None

    async def more() -> bool:
        return (await example.value(TICKS, symbol="BTC/USD") or 0) > before

    await eventually(more, what="a further pass")
    assert await example.value("trading_component_up", component="feed") == 1
    assert await example.value("trading_threads")
    assert (await example.get("/metrics", token="wrong"))[0] == 401
    assert example.log == ""


async def lint(text: str) -> None:
    found = await asyncio.to_thread(
        subprocess.run,
        ["promtool", "check", "metrics"],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")


@pytest.mark.parametrize("example", WITH_AGENT, indirect=True)
async def test_it_halts_and_stays_halted(example: Example) -> None:
    """The gate refuses its orders, also after a SIGKILL, until an operator releases the hold."""
    await example.until(ORDERS, outcome="filled")
    assert await example.value(DENIALS, code="trading_halted") == 0
    await example.command("halt", id="h1", owner="anna", reason="strange prices")
    await example.until(DENIALS, code="trading_halted")
    await example.kill()
    await example.start()
    assert await example.value("trading_state", state="halted") == 1
    await example.until(DENIALS, code="trading_halted")
    assert await example.value(ORDERS, outcome="filled") == 0
    _, health = await example.get("/health", token=AGENT_TOKEN)
    assert '"status": "ok"' in health
    await example.command("resume", owner="bert", reason="looked at it", holds="all")
    await example.until(ORDERS, outcome="filled")


@pytest.mark.parametrize("example", WITH_AGENT, indirect=True)
async def test_its_own_command_is_carried_out(example: Example) -> None:
    """By the bot itself, in its own loop."""
    assert (await example.command("cancel_orders"))["outcome"] == "succeeded"


@pytest.mark.parametrize("file", ["aiohttp_bot.py", "fastapi_bot.py"])
async def test_a_bot_in_a_web_application(file: str, tmp_path: Path) -> None:
    """One port for both; a stuck feed is restarted by a command, a killed bot stays halted."""
    async with PriceSource() as source, running(file, tmp_path / "bot", source.url) as example:
        await example.until(ORDERS, outcome="filled")
        await lint((await example.get("/metrics"))[1])
        assert '"BTC/USD"' in (await example.get("/position"))[1]
        assert (await example.get("/health", token="wrong"))[0] == 401
        source.hang()
        await eventually(source.has_hanging_request, what="a request that gets no answer")
        stuck = await example.value(TICKS, symbol="BTC/USD")
        assert (await example.command("restart_component", component="feed"))["outcome"] == (
            "succeeded"
        )

        async def ticks_again() -> bool:
            return (await example.value(TICKS, symbol="BTC/USD") or 0) > (stuck or 0)

        await eventually(ticks_again, what="a tick after the restart")
        await example.command("halt", id="h1", owner="anna", reason="strange prices")
        await example.until(DENIALS, code="trading_halted")
        await example.kill()
        await example.start(source.url)
        assert await example.value("trading_state", state="halted") == 1
        await example.until(DENIALS, code="trading_halted")
        assert await example.value(ORDERS, outcome="filled") == 0
        assert example.log == ""
        assert example.process is not None
        example.process.terminate()
        assert await asyncio.wait_for(example.process.wait(), 60) in {0, -15}


async def test_bare_metrics_need_prometheus_client_alone(tmp_path: Path) -> None:
    """The base install: an interpreter without site-packages that finds nothing else."""
    installed = tmp_path / "installed"
    installed.mkdir()
    (client,) = prometheus_client.__path__
    (installed / "prometheus_client").symlink_to(client)
    (installed / "trading_ops").symlink_to(ROOT / "trading_ops")
    bare = ("env", f"PYTHONPATH={installed}", sys.executable, "-S", "-P", "-W", "error")
    process = await asyncio.create_subprocess_exec(*bare, "-c", "import aiohttp", stderr=PIPE)
    _, complaint = await process.communicate()
    assert b"No module named 'aiohttp'" in complaint
    example = Example("bare_metrics.py", tmp_path / "bot")
    try:
        await example.start(python=bare)
        assert await example.value("trading_component_up", component="feed") == 1
    finally:
        await example.kill()


def end(venue: VenueProcess) -> None:
    assert venue.process is not None
    if venue.process.poll() is None:
        venue.kill()


async def test_a_bot_on_ccxt(tmp_path: Path) -> None:
    """It trades on the paper venue, survives SIGKILL, and reports a venue that is gone."""
    folder = tmp_path / "venue"
    folder.mkdir()
    files = Files(folder)
    venue = VenueProcess(files)
    secrets = tmp_path / "bot"
    secrets.mkdir()
    for kind in ("key", "secret"):
        text = (folder / f"manual.{kind}").read_text()
        (secrets / f"venue_{kind}_manual").write_text(text)
    await asyncio.to_thread(venue.start)
    with contextlib.ExitStack() as stack:
        stack.callback(end, venue)
        async with running("ccxt_bot.py", secrets, files.rest) as example:
            await example.until(ORDERS, outcome="filled")
            await example.until("trading_order_duration_seconds_count")
            await example.until("trading_balance", currency="USD")
            await example.until(REQUESTS, endpoint="AddOrder", code="ok")
            await example.until("trading_component_up", component="broker")
            assert (await example.command("cancel_orders"))["outcome"] == "succeeded"
            await lint((await example.get("/metrics"))[1])
            await eventually(lambda: example.events("trade"), what="a trade among its events")
            trades = len(await example.events("trade"))
            await example.kill()
            await example.start(files.rest)
            await example.until("trading_recovery_complete")
            await example.until(ORDERS, outcome="filled")
            assert not await example.value("trading_nonces_refused_total")
            assert not await example.value("trading_reconciliations_total", result="drifted")
            assert len(await example.events("trade")) > trades > 0
            failed = example.log.count("this pass failed")
            venue.kill()

            async def is_down() -> bool:
                return await example.value("trading_component_up", component="broker") == 0

            await eventually(is_down, what="the broker to be reported as down")
            await eventually(
                lambda: example.log.count("this pass failed") > failed, what="a failed pass"
            )
            assert example.process is not None
            example.process.terminate()
            assert await asyncio.wait_for(example.process.wait(), 60) == 0
