"""The WebSocket feed, read by a plain client."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import aiohttp
import pytest

from tests.service.venue.harness import FaultCaller, Files, until
from trading_ops import clock
from trading_ops_lab.paper.venue.venue import Venue

pytestmark = pytest.mark.processes


class Listener:
    """One client of the feed."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(
        self, method: str, params: dict[str, object] | None = None, req_id: int | None = None
    ) -> None:
        await self.socket.send_json({"method": method, "params": params or {}, "req_id": req_id})

    async def hear(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the next message that is wanted."""
        async with asyncio.timeout(120):
            while not wanted(message := await self.socket.receive_json()):
                pass
        return dict(message)

    async def count(self, heartbeats: int = 2) -> dict[str, int]:
        """Count the messages of each channel until so many heartbeats came, a second apart."""
        counts: dict[str, int] = {}
        async with asyncio.timeout(120):
            while counts.get("heartbeat", 0) < heartbeats:
                message = await self.socket.receive_json()
                name = message.get("channel") or message["method"]
                counts[name] = counts.get(name, 0) + 1
        return counts


def ticker(symbol: str, kind: str = "update") -> Callable[[dict[str, Any]], bool]:
    return lambda m: (
        m.get("channel") == "ticker" and m["type"] == kind and m["data"][0]["symbol"] == symbol
    )


def reply(method: str) -> Callable[[dict[str, Any]], bool]:
    return lambda m: m.get("method") == method


@pytest.fixture
async def listener(
    venue: Venue, files: Files, http: aiohttp.ClientSession
) -> AsyncIterator[Listener]:
    async with http.ws_connect(files.url + "/v2") as socket:
        yield Listener(socket)


async def test_a_connection_is_greeted(listener: Listener, venue: Venue) -> None:
    """The first message tells the state of the exchange and the connection's number."""
    first = await listener.hear(lambda _message: True)
    assert (first["channel"], first["type"]) == ("status", "update")
    assert first["data"][0]["system"] == "online"
    assert {first["data"][0]["connection_id"]} == venue.feed.connections


async def test_a_subscription_is_acknowledged_and_served(listener: Listener) -> None:
    """Each symbol gets an acknowledgement, a snapshot, and fresh updates several times a second."""
    await listener.say("subscribe", {"channel": "ticker", "symbol": ["BTC/USD", "ETH/USD"]}, 7)
    message = await listener.hear(reply("subscribe"))
    assert (message["success"], message["req_id"]) == (True, 7)
    assert message["result"]["symbol"] == "BTC/USD"
    assert message["time_in"] <= message["time_out"]
    snapshot = (await listener.hear(ticker("BTC/USD", "snapshot")))["data"][0]
    assert 0 < snapshot["bid"] < snapshot["ask"]
    assert snapshot["low"] <= snapshot["last"] <= snapshot["high"]
    update = (await listener.hear(ticker("ETH/USD")))["data"][0]
    age = clock.timestamp() - datetime.fromisoformat(update["timestamp"]).timestamp()
    assert 0 <= age < 1
    await listener.count(1)
    counts = await listener.count(2)
    assert counts["ticker"] >= 2 * 2 * 2, "two symbols, two seconds, several times in each"


async def test_ping_is_answered(listener: Listener) -> None:
    """A pong carries the number of its ping."""
    await listener.say("ping", req_id=101)
    pong = await listener.hear(reply("pong"))
    assert pong["req_id"] == 101


async def test_a_symbol_can_be_unsubscribed(listener: Listener) -> None:
    """After the acknowledgement nothing comes any more."""
    params: dict[str, object] = {"channel": "ticker", "symbol": ["SOL/USD"], "snapshot": False}
    await listener.say("subscribe", params)
    await listener.hear(ticker("SOL/USD"))
    await listener.say("unsubscribe", params)
    await listener.hear(reply("unsubscribe"))
    assert "ticker" not in await listener.count()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nonsense", "Malformed request"),
        ('{"params": {}}', "Malformed request"),
        ('{"method": "trade"}', "Unsupported method"),
        ('{"method": "subscribe", "params": {"channel": "ohlc"}}', "Unsupported channel"),
        ('{"method": "subscribe", "params": {"channel": "ticker"}}', "Currency pair not supported"),
        (
            '{"method": "subscribe", "params": {"channel": "ticker", "symbol": ["XBT/USD"]}}',
            "Currency pair not supported XBT/USD",
        ),
    ],
)
async def test_a_wrong_message_is_answered(listener: Listener, text: str, error: str) -> None:
    """A message that cannot be served gets a clear no, and the connection stays."""
    await listener.socket.send_str(text)
    answer = await listener.hear(lambda m: m.get("success") is False)
    assert answer["error"].startswith(error)
    await listener.say("ping")
    await listener.hear(reply("pong"))


async def test_a_stale_feed_is_open_but_silent(
    listener: Listener, files: Files, http: aiohttp.ClientSession, faults: FaultCaller
) -> None:
    """Old connections get heartbeats and pongs but no data; new and recovered ones get data."""
    await listener.say("subscribe", {"channel": "ticker", "symbol": ["BTC/USD"]})
    await listener.hear(ticker("BTC/USD"))
    fault = await faults.inject("stale_feed")
    await listener.say("ping", req_id=1)
    await listener.hear(reply("pong"))
    assert set(await listener.count()) == {"heartbeat"}
    await listener.say("subscribe", {"channel": "ticker", "symbol": ["ETH/USD"]})
    assert set(await listener.count()) == {"subscribe", "heartbeat"}
    async with http.ws_connect(files.url + "/v2") as socket:
        other = Listener(socket)
        await other.say("subscribe", {"channel": "ticker", "symbol": ["BTC/USD"]})
        await other.hear(ticker("BTC/USD", "snapshot"))
        await other.hear(ticker("BTC/USD"))
    await faults.clear(fault)
    await listener.hear(ticker("BTC/USD"))


async def test_the_journal_reports_connections(listener: Listener, faults: FaultCaller) -> None:
    """Connecting, subscribing and leaving are witnessed with the connection's number."""
    status = await listener.hear(lambda _message: True)
    await listener.say("subscribe", {"channel": "ticker", "symbol": ["BTC/USD"]})
    await listener.hear(reply("subscribe"))
    await listener.socket.close()

    async def closed() -> list[dict[str, Any]]:
        return await faults.journal("feed_closed")

    await until(closed)
    entries = await faults.journal("feed_connected", "feed_subscribed", "feed_closed")
    assert [entry["event"] for entry in entries] == [
        "feed_connected",
        "feed_subscribed",
        "feed_closed",
    ]
    assert {entry["connection"] for entry in entries} == {status["data"][0]["connection_id"]}
    assert entries[1]["symbol"] == "BTC/USD"


async def test_a_client_that_does_not_read_is_dropped(listener: Listener, venue: Venue) -> None:
    """What waits for one client is bounded: the rest of the venue does not pay for it."""
    await listener.hear(lambda _message: True)
    for _ in range(2000):
        venue.feed.beat()

    async def dropped() -> bool:
        return not venue.feed.connections

    await until(dropped)
