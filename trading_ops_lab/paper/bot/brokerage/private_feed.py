"""The account_feed component: updates of orders and balances over Kraken's WebSocket v2.

Fills arrive in milliseconds instead of at the next pass. Nothing depends on the feed: every pass
also queries REST, and uncertain updates are checked by REST as well.
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
"""Pause in seconds between two attempts to connect or subscribe, doubled each, with jitter."""

RESET_SECONDS = 30.0
"""After this time without a failure the pauses start from the first again."""

THRESHOLD = 3
PING_SECONDS = 10.0
SILENT_SECONDS = 5.0
"""Without any message, heartbeats included, after which the connection is closed."""

CHECK_SECONDS = 0.5


class Message(msgspec.Struct):
    """Any message of the venue."""

    channel: str = ""
    type: str = ""
    success: bool = True
    error: str = ""
    sequence: int = 0
    data: msgspec.Raw = msgspec.Raw(b"[]")


class Broken(Exception):
    """The connection must be replaced."""


class Backoff:
    """The pause before the next attempt."""

    def __init__(self) -> None:
        """Start with the shortest pause."""
        self._failures = 0
        self._last = float("-inf")

    def next(self) -> float:
        """Return the seconds to wait after one more failure."""
        now = clock.monotonic()
        self._failures = 0 if now - self._last > RESET_SECONDS else self._failures + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**self._failures)
        self._last = now + pause
        return pause * random.uniform(0.5, 1)  # noqa: S311 - no secret


@dataclass
class Channel:
    """The state of a subscription."""

    due: int | None = None
    """Sequence number of the next message; None before the snapshot."""

    requested_at: float | None = None
    """When the subscription was sent, on the monotonic clock; None: not sent yet."""

    begin_at: float = 0.0
    """Do not subscribe before this time."""


class AccountFeed(Component):
    """Keeps one authenticated connection open, and applies its updates.

    The messages of each channel are numbered. After a gap the feed subscribes again, and all
    orders are queried over REST. A connection that is silent, or behind REST for some seconds, is
    replaced. Up means that executions are being received.
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
        """Set up the feed; `run` connects.

        Args:
            metrics: the bot's metrics.
            address: the venue's address, HOST:PORT.
            broker: provides tokens.
            book: receives fills and final states.
            balances: receives balance changes.
            rest: is queried when the feed is uncertain.
            timeout_seconds: for connecting, and for a subscription to start.
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
        """Return False: the feed waits for messages, and detects silence itself."""
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
            # Its snapshot does not come, which `_watch` detects.
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
        await self._publish(message, news, begins=begins)
        self.succeed()
        if begins and message.channel == EXECUTIONS:
            self.mark(up=True, detail="receiving executions")

    async def _publish(self, message: Message, news: AccountNews, *, begins: bool) -> None:
        if message.channel == BALANCES:
            money = msgspec.json.decode(message.data, type=list[Money])
            (news.money_begun if begins else news.money_moved)(money)
            return
        updates = msgspec.json.decode(message.data, type=list[Execution])
        if begins:
            news.orders_begun(updates)
        else:
            await news.orders_moved(updates)

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
        """Subscribe to the channels, and fail when the connection is stale."""
        asked: set[str] = set()
        while True:
            now = clock.monotonic()
            for name, channel in self._channels.items():
                if channel.requested_at is None and now >= channel.begin_at:
                    await _subscribe(socket, name, token, again=name in asked)
                    channel.requested_at = now
                    asked.add(name)
                elif channel.due is None and now - (channel.requested_at or now) > self._timeout:
                    self._late(name)
            stale = news.look()
            if stale is not None:
                raise Broken(stale)
            await asyncio.sleep(CHECK_SECONDS)

    def _late(self, name: str) -> None:
        """Retry the balances after a pause; without executions replace the connection."""
        if name == EXECUTIONS:
            raise Broken("the executions snapshot has not arrived")
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
