"""The feed's own corners: what it cannot read, and what it tells of silence."""

import json
import re
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from aiohttp import web

from tests.free_ports import free_port
from tests.service.bot.conftest import SYMBOLS
from tests.service.botkit.conftest import sample, until
from trading_ops.botkit.supervisor import Supervisor
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.feed import Feed

pytestmark = pytest.mark.processes

STALE_SECONDS = 1.0
BITCOIN, ETHER = SYMBOLS


def ticker(symbol: str) -> str:
    data = [{"symbol": symbol, "bid": 1000.0, "ask": 1001.0}]
    return json.dumps({"channel": "ticker", "data": data})


class Line:
    """A venue that says on its one connection what the test has it say."""

    def __init__(self) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.sockets: list[web.WebSocketResponse] = []
        app = web.Application()
        app.router.add_get("/v2", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def open(self) -> None:
        await self._runner.setup()
        host, _, port = self.address.rpartition(":")
        await web.TCPSite(self._runner, host, int(port)).start()

    async def say(self, text: str) -> None:
        await self.sockets[-1].send_str(text)

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for _ in socket:
            pass
        return socket


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    line = Line()
    await line.open()
    yield line
    await line.close()


@pytest.fixture
async def feed(metrics: BotMetrics, line: Line) -> AsyncIterator[Feed]:
    feed = Feed(
        metrics,
        address=line.address,
        symbols=SYMBOLS,
        timeout_seconds=1,
        stale_seconds=STALE_SECONDS,
    )
    supervisor = Supervisor([feed])
    supervisor.start()
    await feed.wait_up()
    yield feed
    await supervisor.stop()


async def test_feed_survives_what_it_cannot_read(
    feed: Feed, line: Line, metrics: BotMetrics
) -> None:
    """Junk, refusals and foreign channels are passed over; the next ticker counts."""
    await line.sockets[-1].send_bytes(b"binary")
    for message in (
        "{",
        json.dumps({"method": "subscribe", "success": False, "error": "no such pair"}),
        json.dumps({"channel": "heartbeat"}),
        json.dumps({"channel": "ticker", "data": [{"symbol": BITCOIN}]}),
        ticker(BITCOIN),
    ):
        await line.say(message)
    await until(lambda: BITCOIN in feed.quotes)
    assert feed.quotes[BITCOIN].middle == Decimal("1000.5")
    assert sample(metrics, "trading_market_data_messages_total", symbol=BITCOIN) == 1


async def test_silence_is_in_health_and_not_in_the_metric(
    feed: Feed, line: Line, metrics: BotMetrics
) -> None:
    """An open connection without tickers is up for the rules and down for anyone who asks."""
    await line.say(ticker(BITCOIN))
    await until(lambda: feed.quotes)
    assert feed.health.detail == "the connection is open"
    await until(lambda: feed.silent)
    health = feed.health
    assert (health.up, feed.up) == (False, True)
    assert re.fullmatch(r"no market data for \d s", health.detail)
    assert sample(metrics, "trading_component_up", component="feed") == 1
    await line.say(json.dumps({"channel": "heartbeat"}))
    await line.say(ticker(ETHER))
    await until(lambda: ETHER in feed.quotes)
    # Data of one symbol is enough: the other may just be quiet.
    assert (feed.health.up, feed.health.detail) == (True, "the connection is open")


async def test_feed_that_never_heard_anything_is_silent(feed: Feed) -> None:
    """Without a first ticker the silence counts from the start."""
    await until(lambda: feed.silent)
    assert not feed.health.up


async def test_lost_connection_is_reported_before_silence(feed: Feed, line: Line) -> None:
    """When the connection is gone, that is the detail, however long nothing was heard."""
    await until(lambda: feed.silent)
    await line.close()
    await until(lambda: not feed.up)
    assert not feed.health.up
    assert "no market data" not in feed.health.detail
