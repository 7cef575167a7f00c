"""All connections of the feed, and publishing to them."""

import asyncio
from collections.abc import Callable

import msgspec
from aiohttp import WSMsgType, web

from trading_ops import clock
from trading_ops_lab.paper.venue.engine import Engine
from trading_ops_lab.paper.venue.events import OrderEvent
from trading_ops_lab.paper.venue.faults import FaultBoard
from trading_ops_lab.paper.venue.feed import shapes
from trading_ops_lab.paper.venue.feed.account_data import ESSENTIAL, AccountData
from trading_ops_lab.paper.venue.feed.connection import Connection
from trading_ops_lab.paper.venue.feed.market_data import MarketData
from trading_ops_lab.paper.venue.feed.order_entry import OrderEntry
from trading_ops_lab.paper.venue.feed.requests import Requests
from trading_ops_lab.paper.venue.journal import Journal
from trading_ops_lab.paper.venue.ledger import LedgerEntry
from trading_ops_lab.paper.venue.private_commands import PrivateCommands
from trading_ops_lab.paper.venue.store import Store
from trading_ops_lab.paper.venue.tokens import Tokens


class News(msgspec.Struct, frozen=True):
    """A message about one account, which may be delayed (epoch seconds)."""

    channel: str
    account: str
    exec_type: str
    message: shapes.Message
    due: float


class Feed:
    """Serves clients, and sends them what they subscribed to."""

    def __init__(
        self,
        *,
        engine: Engine,
        board: FaultBoard,
        store: Store,
        journal: Journal,
        tokens: Tokens,
        commands: PrivateCommands,
        fail: Callable[[], None],
    ) -> None:
        """Use the venue's parts; send nothing where a fault is active."""
        self._engine, self._board, self._journal = engine, board, journal
        self._market, self._account = MarketData(engine), AccountData(engine, store)
        self._requests = Requests(
            engine=engine,
            board=board,
            journal=journal,
            tokens=tokens,
            market=self._market,
            account=self._account,
            orders=OrderEntry(commands),
            emit=self._emit,
            fail=fail,
        )
        self._connections: dict[int, Connection] = {}
        self._late: list[News] = []
        self._status = engine.status.system()
        # Numbers are never used twice, not even by a restarted venue.
        self._next = int(clock.timestamp() * 1e6)
        journal.committed.append(self._publish_news)

    @property
    def connections(self) -> frozenset[int]:
        """Numbers of the open connections."""
        return frozenset(self._connections)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one client until it disconnects."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._next += 1

        def drop() -> None:
            if request.transport is not None:
                request.transport.abort()

        connection = Connection(self._next, socket, drop)
        self._connections[connection.number] = connection
        self._requests.tell("feed_connected", connection)
        connection.send(shapes.status(self._engine.status.system(), connection.number))
        sender = asyncio.create_task(connection.drain())
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._requests.receive(connection, message.data)
        finally:
            sender.cancel()
            del self._connections[connection.number]
            self._requests.tell("feed_closed", connection)
        return socket

    def publish(self) -> None:
        """Send market data, and delayed account messages."""
        updates = self._market.updater()
        for connection in self._connections.values():
            for channel, text in updates(connection):
                self._emit(connection, channel, text)
        now = clock.timestamp()
        due = [news for news in self._late if news.due <= now]
        self._late = [news for news in self._late if news.due > now]
        for news in due:
            self._send(news)

    def beat(self) -> None:
        """Send a heartbeat to all clients, including those without data."""
        for connection in self._connections.values():
            connection.send(shapes.HEARTBEAT)

    def publish_status(self) -> None:
        """Send all clients the state of the venue when it has changed."""
        status = self._engine.status.system()
        if status != self._status:
            self._status = status
            for connection in self._connections.values():
                connection.send(shapes.status(status, connection.number))

    def _publish_news(self) -> None:
        """Publish the changes that were just committed."""
        for event in self._engine.outbox.take():
            for news in self._news(event):
                if news.due > 0:
                    self._late.append(news)
                else:
                    self._send(news)

    def _news(self, event: OrderEvent | LedgerEntry) -> list[News]:
        late = self._engine.clearing.late
        if isinstance(event, LedgerEntry):
            message, due = self._account.movement(event), late.get(event.reference, 0.0)
            return [News("balances", event.account, event.kind, message, due)]
        trades = event.order.trades
        due = late.get(trades[-1], 0.0) if trades and event.kind in ("trade", "filled") else 0.0
        account = event.order.account
        news = [
            News("executions", account, exec_type, message, due)
            for exec_type, message in self._account.news(event)
        ]
        if event.kind == "trade" and self._struck_twice(event):
            news += news
        return news

    def _struck_twice(self, event: OrderEvent) -> bool:
        caller = self._engine.clearing.owner(event.order)
        return self._board.strike("fill_twice", caller) is not None

    def _send(self, news: News) -> None:
        for connection in self._connections.values():
            channel = connection.private.get(news.channel)
            if channel is None or channel.holder.account != news.account:
                continue
            if news.channel == "executions":
                if not channel.all_states and news.exec_type not in ESSENTIAL:
                    continue
            elif self._balances_fail(connection):
                continue
            number = channel.next()
            text = shapes.data(news.channel, "update", news.message, sequence=number)
            self._emit(connection, news.channel, text)

    def _balances_fail(self, connection: Connection) -> bool:
        fault = self._board.find("balance", connection.caller())
        return fault is not None and fault.where != "rest"

    def _emit(self, connection: Connection, channel: str, text: str) -> None:
        """Send data unless a fault suppresses it; its number is used in either case."""
        if self._board.silences(connection.number, channel):
            return
        caller = connection.caller()
        fault = self._board.find("gapped_feed", caller)
        if fault is not None and fault.silent(channel):
            struck = self._board.strike("gapped_feed", caller)
            if struck is not None:
                return
        connection.send(text)
