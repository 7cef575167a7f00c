"""The account_feed component: the venue's own news of orders and balances, over WebSocket v2.

It makes fills known in milliseconds instead of at the next pass. Nothing depends on it: passes go
on asking by REST, and whatever the feed cannot tell for sure is asked by REST as well.
"""

import asyncio
import random
from dataclasses import dataclass
from typing import cast

import aiohttp
import msgspec

from trading_ops import clock, logs
from trading_ops.botkit.component import Component, Unavailable
from trading_ops.botkit.venue.adapter import VenueAdapter
from trading_ops.botkit.venue.balances import Balances
from trading_ops.botkit.venue.broker import Broker
from trading_ops.botkit.venue.errors import VenueRefused
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.brokerage.account_news import AccountNews, Book, Money, Rest
from trading_ops_lab.paper.bot.brokerage.executions import Execution
from trading_ops_lab.paper.bot.brokerage.kraken import Kraken

log = logs.get(__name__)

EXECUTIONS, BALANCES = "executions", "balances"

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 15.0
"""Seconds between two attempts to connect, or to have balances, doubled at each and spread."""

WELL_SECONDS = 30.0
"""After so long without a failure the pauses begin anew."""

THRESHOLD = 3
PING_SECONDS = 10.0
SILENT_SECONDS = 5.0
"""Without any message, heartbeats included, after which the connection is given up."""

LOOK_SECONDS = 0.5


class Message(msgspec.Struct):
    """Anything that the venue sends."""

    channel: str = ""
    type: str = ""
    success: bool = True
    error: str = ""
    sequence: int = 0
    data: msgspec.Raw = msgspec.Raw(b"[]")


class Broken(Exception):
    """This connection is of no use any more; the next one may be."""


class Backoff:
    """How long to wait before the next attempt."""

    def __init__(self) -> None:
        """Begin with the shortest pause."""
        self._failures = 0
        self._last = float("-inf")

    def next(self) -> float:
        """Return the seconds to wait after one more failure."""
        now = clock.monotonic()
        self._failures = 0 if now - self._last > WELL_SECONDS else self._failures + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**self._failures)
        self._last = now + pause
        return pause * random.uniform(0.5, 1)  # noqa: S311 - no secret


@dataclass
class Channel:
    """How far a subscription has come."""

    due: int | None = None
    """Number of the next message; None before the snapshot."""

    asked_at: float | None = None
    """When it was subscribed to and nothing came yet; None: it is to be subscribed to."""

    begin_at: float = 0.0
    """Not to be subscribed to before."""


class AccountFeed(Component):
    """Keeps one authenticated connection open, and passes on what it is sure of.

    Each channel's messages are numbered. After a gap the channel is subscribed to anew, and REST is
    asked about all orders. A connection that falls silent, or that knows less than REST for some
    seconds, is replaced. Up means that executions are being told.
    """

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        address: str,
        broker: Broker,
        book: Book,
        balances: Balances,
        rest: Rest,
        timeout_seconds: float,
    ) -> None:
        """Take where to connect, and whom to tell.

        Args:
            metrics: of the bot.
            address: of the venue, HOST:PORT.
            broker: gives tokens.
            book: hears of fills and ends.
            balances: hears of money.
            rest: is asked where the feed is not sure.
            timeout_seconds: for connecting, and for a subscription to begin.
        """
        super().__init__("account_feed", metrics, threshold=THRESHOLD, cool_off_seconds=FIRST_PAUSE)
        self._url = f"ws://{address}/v2"
        self._broker = broker
        self._book = book
        self._balances = balances
        self._rest = rest
        self._timeout = timeout_seconds
        self._channels: dict[str, Channel] = {}
        self._balance_pauses = Backoff()
        balances.on_mismatch = self._contradicted

    @property
    def has_work(self) -> bool:
        """Say no: without news there is nothing to do, and the venue's heartbeats are watched."""
        return False

    async def run(self) -> None:
        """Connect, listen, and connect again, until cancelled."""
        pauses = Backoff()
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    await self._connect(session)
                except (Unavailable, VenueRefused) as error:
                    self.detail = f"no token: {error}"  # the broker's failure, not this one's
                except (aiohttp.ClientError, OSError, TimeoutError, Broken) as error:
                    self.fail(f"{type(error).__name__}: {error}")
                finally:
                    self._channels = {}
                    self._balances.feed_lost()
                self.mark(up=False, detail=self.detail)
                await asyncio.sleep(pauses.next())
                self.breaker.allow()  # the next attempt is the trial

    async def _connect(self, session: aiohttp.ClientSession) -> None:
        await self._broker.wait_up()
        token = await self._broker.call("GetWebSocketsToken", _token)
        async with asyncio.timeout(self._timeout):
            socket = await session.ws_connect(self._url, heartbeat=PING_SECONDS)
        news = AccountNews(self._book, self._balances, self._rest)
        self._channels = {EXECUTIONS: Channel(), BALANCES: Channel()}
        async with socket:
            tasks = [
                asyncio.create_task(work)
                for work in (
                    self._listen(socket, news),
                    self._watch(socket, news, token),
                    news.settle(),
                )
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse, news: AccountNews) -> None:
        while True:
            try:
                message = await socket.receive(timeout=SILENT_SECONDS)
            except TimeoutError as error:
                raise Broken(f"silent for {SILENT_SECONDS:g} s") from error
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise Broken(f"the connection was closed ({socket.close_code})")
            try:
                await self._receive(msgspec.json.decode(message.data, type=Message), news)
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                raise Broken(f"unreadable: {error}") from error

    async def _receive(self, message: Message, news: AccountNews) -> None:
        self._balances.feed_alive()
        if not message.success:
            # Its snapshot stays away, which is watched.
            log.warning("subscription_refused", error=message.error[:200])
        channel = self._channels.get(message.channel)
        if channel is None:
            return
        begins = message.type == "snapshot"
        if not begins and channel.due is None:
            return  # of the subscription before this one
        if not begins and message.sequence != channel.due:
            self._gap(message, channel, news)
            return
        channel.due = message.sequence + 1
        await self._tell(message, news, begins=begins)
        self.succeed()
        if begins and message.channel == EXECUTIONS:
            self.mark(up=True, detail="the account's news are told")

    async def _tell(self, message: Message, news: AccountNews, *, begins: bool) -> None:
        if message.channel == BALANCES:
            money = msgspec.json.decode(message.data, type=list[Money])
            (news.money_begun if begins else news.money_moved)(money)
            return
        told = msgspec.json.decode(message.data, type=list[Execution])
        if begins:
            news.orders_begun(told)
        else:
            await news.orders_moved(told)

    def _gap(self, message: Message, channel: Channel, news: AccountNews) -> None:
        log.warning("feed_gap", channel=message.channel, number=message.sequence, due=channel.due)
        self.metrics.account_feed_gap(message.channel)
        self._channels[message.channel] = Channel()
        if message.channel == BALANCES:
            self._balances.feed_lost()
        else:
            news.orders_unknown()

    async def _watch(
        self, socket: aiohttp.ClientWebSocketResponse, news: AccountNews, token: str
    ) -> None:
        """Subscribe to what is not, and give the connection up when it is stale."""
        asked: set[str] = set()
        while True:
            now = clock.monotonic()
            for name, channel in self._channels.items():
                if channel.asked_at is None and now >= channel.begin_at:
                    await _subscribe(socket, name, token, again=name in asked)
                    channel.asked_at = now
                    asked.add(name)
                elif channel.due is None and now - (channel.asked_at or now) > self._timeout:
                    self._late(name)
            stale = news.look()
            if stale is not None:
                raise Broken(stale)
            await asyncio.sleep(LOOK_SECONDS)

    def _late(self, name: str) -> None:
        """Do without balances for a while; without executions the connection is of no use."""
        if name == EXECUTIONS:
            raise Broken("the executions have not begun")
        pause = self._balance_pauses.next()
        self._channels[name] = Channel(begin_at=clock.monotonic() + pause)

    def _contradicted(self) -> None:
        if BALANCES in self._channels:
            self._late(BALANCES)


async def _token(venue: VenueAdapter) -> str:
    return await cast(Kraken, venue).feed_token()  # this feed is Kraken's dialect


async def _subscribe(
    socket: aiohttp.ClientWebSocketResponse, channel: str, token: str, *, again: bool
) -> None:
    params: dict[str, object] = {"channel": channel, "token": token}
    if again:
        await socket.send_json({"method": "unsubscribe", "params": params})
    if channel == EXECUTIONS:
        params |= {"snap_orders": True, "snap_trades": False, "order_status": True}
    await socket.send_json({"method": "subscribe", "params": params})
