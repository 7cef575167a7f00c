"""From a signal to the venue's acknowledgement on loopback, and the share of it that is the bot's.

The bot is the real one: it hears of its open orders first, checks, puts the intent on disk, and
sends through ccxt. In turns with its orders the same two requests are sent over a bare socket: that
is the venue's own time and the loopback's, and what is above it is ours. Its processor time is
measured too, for on a busy machine the rest is waiting. `python -m tests.bench.bot_orders`.
"""

import asyncio
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import msgspec

from tests.bench.bot_rig import bot_at_a_venue
from tests.bench.say import p50_p99, say
from trading_ops.botkit.failpoints import BotFailpoint, watch
from trading_ops.botkit.venue.adapter import VenueAdapter
from trading_ops_lab.paper.bot.bot import Bot
from trading_ops_lab.paper.bot.config import read_secret
from trading_ops_lab.paper.bot.trading.strategy import Target
from trading_ops_lab.paper.venue.signing import decode_secret, sign

SYMBOL = "BTC/USD"
ORDERS = 200
WARM_UP = 10
GOAL_PROCESSOR_MS = 20.0
GOAL_P50_MS = 50.0
GOAL_P99_MS = 250.0


@dataclass
class Stamps:
    """When the latest order passed the named places."""

    at: dict[BotFailpoint, float] = field(default_factory=dict)

    def __call__(self, place: BotFailpoint) -> None:
        """Take the time of a place."""
        self.at[place] = time.perf_counter()


class BareSocket:
    """The same requests with nothing around them: one kept connection, signed beforehand."""

    def __init__(self, bot: Bot, address: str, key: str, secret: str) -> None:
        self._bot, self._address = bot, address
        self._key, self._secret = key, decode_secret(secret)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, method: str, form: dict[str, str]) -> tuple[float, dict[str, Any]]:
        """Send a request in its turn among the bot's; return the seconds of it, and the answer."""

        async def send(_client: VenueAdapter) -> tuple[float, dict[str, Any]]:
            return await self._send(method, form)

        return await self._bot.broker.call(method, send)

    async def _send(self, method: str, form: dict[str, str]) -> tuple[float, dict[str, Any]]:
        if self._streams is None:
            host, _, port = self._address.partition(":")
            self._streams = await asyncio.open_connection(host, int(port))
        reader, writer = self._streams
        path, nonce = f"/0/private/{method}", str(self._bot.nonces.issue())
        body = urlencode({"nonce": nonce, **form}).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._address}\r\nAPI-Key: {self._key}\r\n"
            f"API-Sign: {sign(self._secret, path, nonce, body)}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        began = time.perf_counter()
        writer.write(head.encode("ascii") + body)
        headers = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").lower()
        size = int(headers.partition("content-length:")[2].split("\r\n")[0])
        answer = await reader.readexactly(size)
        seconds = time.perf_counter() - began
        reply = msgspec.json.decode(answer)
        assert not reply["error"], reply
        return seconds, reply["result"]

    def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            self._streams[1].close()


@dataclass
class Times:
    """Seconds of each order, by what they were spent on."""

    total: list[float] = field(default_factory=list)
    sync: list[float] = field(default_factory=list)
    """Until the open orders were heard, all checks passed, and the order decided."""

    storing: list[float] = field(default_factory=list)
    """Until its intent was on the disk."""

    request: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    """Of the whole process, until it was acknowledged."""

    venue: list[float] = field(default_factory=list)
    """Of the same two requests, bare."""


async def order(bot: Bot, stamps: Stamps, times: Times) -> None:
    """Have one order follow from a signal; afterwards nothing is open."""
    held = bot.book.position(SYMBOL).quantity
    target = Target.FLAT if held >= bot.broker.client.rules(SYMBOL).minimum else Target.LONG
    stamps.at.clear()
    processor, began = time.process_time(), time.perf_counter()
    await bot.orders.ask({SYMBOL: target}, within=30)
    at, worked = stamps.at, time.process_time() - processor
    if BotFailpoint.SUBMITTED in at:  # else what was left of a position is too small to be sold
        times.total.append(at[BotFailpoint.SUBMITTED] - began)
        times.sync.append(at[BotFailpoint.INTENT] - began)
        times.storing.append(at[BotFailpoint.INTENT_STORED] - at[BotFailpoint.INTENT])
        times.request.append(at[BotFailpoint.SUBMITTED] - at[BotFailpoint.INTENT_STORED])
        times.processor.append(worked)
    await bot.orders.cancel_all()


async def bare(bot: Bot, socket: BareSocket, times: Times) -> None:
    """Ask for open orders, place one that rests below the market, and cancel it."""
    price = bot.broker.client.rules(SYMBOL).price(bot.feed.quotes[SYMBOL].bid / 2)
    form = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit"}
    form |= {"volume": "0.0005", "price": format(price, "f"), "userref": "1"}
    asking, _ = await socket.post("OpenOrders", {})
    adding, result = await socket.post("AddOrder", form)
    times.venue.append(asking + adding)
    await socket.post("CancelOrder", {"txid": result["txid"][0]})


async def main() -> int:
    """Print the table and the goals."""
    stamps, times = Stamps(), Times()
    watch(stamps)
    async with bot_at_a_venue() as (bot, world):
        held = world.folder / "secrets"
        key, secret = read_secret(held / "venue_key"), read_secret(held / "venue_secret")
        socket = BareSocket(bot, f"127.0.0.1:{world.port}", key, secret)
        for number in range(WARM_UP + ORDERS):
            if number == WARM_UP:
                times = Times()
            await order(bot, stamps, times)
            await bare(bot, socket, times)
        socket.close()
    show(times)
    return 0


def show(times: Times) -> None:
    """Print what was measured; the share is of the medians, taken in turns in one run."""
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    say(f"order path on loopback, {len(times.total)} orders, load a core {load:.1f}")
    rows = (
        ("signal → acknowledged", times.total),
        ("  open orders heard, order decided", times.sync),
        ("  intent on disk", times.storing),
        ("  AddOrder by ccxt", times.request),
        ("OpenOrders + AddOrder bare: the venue's", times.venue),
        ("processor time of the bot", times.processor),
    )
    for name, seconds in rows:
        p50, p99 = p50_p99(seconds)
        say(f"  {name:<42} p50 {p50:6.2f} ms   p99 {p99:6.2f} ms")
    total, venue = statistics.median(times.total), statistics.median(times.venue)
    say(f"  ours at the median: {(total - venue) * 1000:.2f} ms, {1 - venue / total:.0%} of it")
    p50, p99 = p50_p99(times.total)
    _goal("signal → acknowledged p50", p50, GOAL_P50_MS)
    _goal("signal → acknowledged p99", p99, GOAL_P99_MS)
    _goal("processor time p50", p50_p99(times.processor)[0], GOAL_PROCESSOR_MS)


def _goal(name: str, measured: float, goal: float) -> None:
    say(f"goal: {name} <= {goal:g} ms: {measured:.2f}: {'met' if measured <= goal else 'MISSED'}")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
