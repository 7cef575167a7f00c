"""The WebSocket feed in Kraken's v2 dialect: status, ticker, heartbeat, ping and pong."""

import asyncio
import contextlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec
from aiohttp import WSMsgType, web

from trading_ops import __version__, clock, logs
from trading_ops.paper.venue import wire
from trading_ops.paper.venue.engine import Engine
from trading_ops.paper.venue.faults import FaultBoard
from trading_ops.paper.venue.journal import Journal
from trading_ops.paper.venue.market import Market
from trading_ops.paper.venue.orders import ZERO, Side
from trading_ops.paper.venue.pairs import SYMBOLS

log = logs.get(__name__)

QUEUE_LENGTH: Final = 256
"""Messages that wait for one client; a client that is further behind is dropped."""

PERCENT_DECIMALS: Final = Decimal("0.01")

_encoder: Final = msgspec.json.Encoder(decimal_format="number")
HEARTBEAT: Final = '{"channel":"heartbeat"}'


class Params(msgspec.Struct):
    """What a client subscribes to."""

    channel: str = ""
    symbol: list[str] = []
    snapshot: bool = True
    event_trigger: str = "trades"


class Request(msgspec.Struct):
    """A client's message."""

    method: str
    params: Params = msgspec.field(default_factory=Params)
    req_id: int | None = None


class Connection:
    """One client: its subscriptions, and what waits to be sent to it."""

    def __init__(
        self, number: int, socket: web.WebSocketResponse, drop: Callable[[], None]
    ) -> None:
        """Begin with nothing subscribed."""
        self.number, self._socket, self._drop = number, socket, drop
        self.symbols: set[str] = set()
        self._waiting: asyncio.Queue[str] = asyncio.Queue(QUEUE_LENGTH)

    def send(self, text: str) -> None:
        """Queue a message; a client that does not read is dropped."""
        try:
            self._waiting.put_nowait(text)
        except asyncio.QueueFull:
            self._drop()

    async def drain(self) -> None:
        """Send what waits, until the connection is closed."""
        with contextlib.suppress(ConnectionError):
            while True:
                await self._socket.send_str(await self._waiting.get())


class Feed:
    """All connections, and what is published to them."""

    def __init__(self, engine: Engine, board: FaultBoard, journal: Journal) -> None:
        """Read prices from the engine; be silent where the board says so."""
        self._engine, self._board, self._journal = engine, board, journal
        self._connections: dict[int, Connection] = {}
        # Numbers are never used twice, not even by a restarted venue.
        self._next = int(clock.timestamp() * 1e6)

    @property
    def connections(self) -> frozenset[int]:
        """Numbers of the open connections."""
        return frozenset(self._connections)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one client until it goes."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._next += 1

        def drop() -> None:
            if request.transport is not None:
                request.transport.abort()

        connection = Connection(self._next, socket, drop)
        self._connections[connection.number] = connection
        self._tell("feed_connected", connection)
        connection.send(_status(connection.number))
        sender = asyncio.create_task(connection.drain())
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._receive(connection, message.data)
        finally:
            sender.cancel()
            del self._connections[connection.number]
            self._tell("feed_closed", connection)
        return socket

    def publish(self) -> None:
        """Send each symbol's ticker to those who subscribed to it."""
        wanted = {symbol for c in self._connections.values() for symbol in c.symbols}
        texts = {symbol: self._ticker(symbol, "update") for symbol in wanted}
        for connection in self._connections.values():
            if not self._board.silences(connection.number):
                for symbol in connection.symbols:
                    connection.send(texts[symbol])

    def beat(self) -> None:
        """Send a heartbeat to everyone, those without data included."""
        for connection in self._connections.values():
            connection.send(HEARTBEAT)

    def _receive(self, connection: Connection, text: str) -> None:
        now = clock.timestamp()
        try:
            request = msgspec.json.decode(text, type=Request)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            connection.send(_reply(now, error=f"Malformed request: {error}", success=False))
            return
        told: dict[str, Any] = {"method": request.method}
        if request.req_id is not None:
            told["req_id"] = request.req_id
        if request.method == "ping":
            connection.send(_reply(now, **told | {"method": "pong"}))
        elif request.method not in ("subscribe", "unsubscribe"):
            connection.send(_reply(now, **told, error="Unsupported method", success=False))
        elif request.params.channel != "ticker":
            connection.send(_reply(now, **told, error="Unsupported channel", success=False))
        else:
            for symbol in request.params.symbol:
                self._subscribe(connection, request, told, symbol, now)

    def _subscribe(
        self,
        connection: Connection,
        request: Request,
        told: dict[str, Any],
        symbol: str,
        now: float,
    ) -> None:
        if symbol not in SYMBOLS:
            text = f"Currency pair not supported {symbol}"
            connection.send(_reply(now, **told, error=text, success=False, symbol=symbol))
            return
        result: dict[str, object] = {"channel": "ticker", "symbol": symbol}
        if request.method == "unsubscribe":
            connection.symbols.discard(symbol)
            connection.send(_reply(now, **told, result=result, success=True))
            return
        result |= {
            "snapshot": request.params.snapshot,
            "event_trigger": request.params.event_trigger,
        }
        connection.send(_reply(now, **told, result=result, success=True))
        connection.symbols.add(symbol)
        self._tell("feed_subscribed", connection, symbol=symbol)
        if request.params.snapshot and not self._board.silences(connection.number):
            connection.send(self._ticker(symbol, "snapshot"))

    def _ticker(self, symbol: str, kind: str) -> str:
        market = self._engine.markets[SYMBOLS[symbol].id]
        day, pair, last = market.candles.day(), market.pair, market.last.price
        bid, bid_volume = self._best(market, "buy")
        ask, ask_volume = self._best(market, "sell")
        data = {
            "symbol": symbol,
            "bid": bid,
            "bid_qty": bid_volume,
            "ask": ask,
            "ask_qty": ask_volume,
            "last": last,
            "volume": day.volume,
            "vwap": round(day.average, pair.price_decimals),
            "low": day.low,
            "high": day.high,
            "change": last - day.open,
            "change_pct": ((last / day.open - 1) * 100).quantize(PERCENT_DECIMALS),
            "timestamp": wire.stamp(market.last.time),
        }
        return _encoder.encode({"channel": "ticker", "type": kind, "data": [data]}).decode()

    def _best(self, market: Market, side: Side) -> tuple[Decimal, Decimal]:
        resting = self._engine.resting(market.pair.id)
        return next(iter(market.depth(side, resting, 1)), (market.last.price, ZERO))

    def _tell(self, event: str, connection: Connection, **fields: object) -> None:
        self._journal.record(event, connection=connection.number, **fields)
        self._journal.commit()


def _status(number: int) -> str:
    data = {
        "version": __version__,
        "system": "online",
        "api_version": "v2",
        "connection_id": number,
    }
    return _encoder.encode({"channel": "status", "type": "update", "data": [data]}).decode()


def _reply(received_at: float, **fields: object) -> str:
    times = {"time_in": wire.stamp(received_at), "time_out": wire.stamp(clock.timestamp())}
    return _encoder.encode({**fields, **times}).decode()
