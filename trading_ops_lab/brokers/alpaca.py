"""A local broker with Alpaca's REST API and its WebSocket feed of quotes.

The routes, fields and status codes are those that `alpaca-py` uses; numbers are texts, as Alpaca
sends them. The feed is msgpack, as that library requests.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from trading_ops import clock
from trading_ops_lab.brokers.account import (
    BUY,
    CANCELLED,
    FILLED,
    LIMIT,
    OPEN,
    STOP,
    Account,
    PaperOrder,
    Refusal,
)
from trading_ops_lab.brokers.faults import DISCONNECT, REFUSE, STALE_FEED, Board

TICK_SECONDS = 0.25
STATUSES = {OPEN: "new", FILLED: "filled", CANCELLED: "canceled"}
PAGE_SIZE = 100


class AlpacaServer:
    """One account behind Alpaca's protocol."""

    def __init__(
        self, account: Account, board: Board, *, key: str, secret: str, limit: int = 200
    ) -> None:
        """Serve an account.

        Args:
            account: the account.
            board: its faults; a disconnect refuses every connection that was open at that time.
            key: the API key.
            secret: its secret.
            limit: requests a minute.
        """
        self._account, self._board = account, board
        self._key, self._secret = key, secret
        self._limit, self._left, self._minute = limit, limit, 0
        self._connections: set[object] = set()
        self._dropped: set[object] = set()
        self._feeds: set[Feed] = set()
        board.on_fault = self._fault_began

    def build(self) -> web.Application:
        """Return the application: the API under `/v2`, and the feed `/v2/iex`."""
        app = web.Application(middlewares=[self._admit])
        routes = {
            "/account": self._show_account,
            "/clock": self._clock,
            "/assets/{symbol}": self._asset,
            "/positions": self._positions,
            "/orders": self._orders,
            "/orders/{id}": self._order,
            "/orders:by_client_order_id": self._by_client_id,
            "/account/activities": self._activities,
            "/account/activities/FILL": self._activities,
            "/stocks/bars": self._bars,
        }
        for path, handler in routes.items():
            app.router.add_get(f"/v2{path}", handler)
        app.router.add_post("/v2/orders", self._submit)
        app.router.add_delete("/v2/orders", self._cancel_all)
        app.router.add_delete("/v2/orders/{id}", self._cancel)
        app.router.add_get("/v2/iex", self._feed)
        app.cleanup_ctx.append(self._market)
        return app

    def _fault_began(self, kind: str) -> None:
        if kind == DISCONNECT:
            self._dropped |= self._connections
        if kind == STALE_FEED:
            for feed in self._feeds:
                feed.silent = True

    @web.middleware
    async def _admit(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self._board.has(REFUSE):
            return _error(503, 50010000, "service unavailable")
        if request.path == "/v2/iex":
            feed: web.StreamResponse = await handler(request)
            return feed
        given = (request.headers.get("APCA-API-KEY-ID"), request.headers.get("APCA-API-SECRET-KEY"))
        connection = request.transport
        if given != (self._key, self._secret) or connection in self._dropped:
            return _error(401, 40110000, "request is not authorized")
        if connection not in self._connections:
            self._connections.add(connection)
            self._board.note("session_joined")
        minute = int(clock.timestamp() / 60)
        if minute != self._minute:
            self._minute, self._left = minute, self._limit
        if self._left <= 0:
            answer: web.StreamResponse = _error(429, 42910000, "rate limit exceeded")
        else:
            self._left -= 1
            answer = await handler(request)
        answer.headers["X-RateLimit-Limit"] = str(self._limit)
        answer.headers["X-RateLimit-Remaining"] = str(self._left)
        answer.headers["X-RateLimit-Reset"] = str((minute + 1) * 60)
        return answer

    async def _market(self, _app: web.Application) -> Any:
        async def run() -> None:
            while True:
                self._account.move_prices()
                for feed in list(self._feeds):
                    await feed.send_quotes(self._account)
                await asyncio.sleep(TICK_SECONDS)

        task = asyncio.create_task(run())
        yield
        task.cancel()
        await asyncio.wait({task})

    async def _show_account(self, _: web.Request) -> web.Response:
        account = self._account
        return web.json_response(
            {
                "id": "00000000-0000-4000-8000-000000000001",
                "status": "ACTIVE",
                "currency": "USD",
                "cash": str(account.cash),
                "non_marginable_buying_power": str(account.cash - account.reserved_cash),
            }
        )

    async def _clock(self, _: web.Request) -> web.Response:
        return web.json_response({"timestamp": _text(clock.timestamp()), "is_open": True})

    async def _asset(self, request: web.Request) -> web.Response:
        symbol = request.match_info["symbol"]
        if symbol not in self._account.prices:
            return _error(404, 40410000, f"asset not found for {symbol}")
        return web.json_response(
            {"symbol": symbol, "class": "us_equity", "tradable": True, "fractionable": False}
        )

    async def _positions(self, _: web.Request) -> web.Response:
        return web.json_response(
            [
                {
                    "symbol": symbol,
                    "qty": str(quantity),
                    "qty_available": str(self._account.available(symbol)),
                    "side": "long",
                }
                for symbol, quantity in self._account.shares.items()
                if quantity
            ]
        )

    async def _orders(self, request: web.Request) -> web.Response:
        found = list(self._account.orders.values())
        if request.query.get("status", "open") == "open":
            found = list(self._account.open_orders())
        return web.json_response([_order(order) for order in found[: int(request.query["limit"])]])

    async def _order(self, request: web.Request) -> web.Response:
        return self._found(self._account.orders.get(request.match_info["id"]))

    async def _by_client_id(self, request: web.Request) -> web.Response:
        return self._found(self._with_client_id(request.query["client_order_id"]))

    def _found(self, order: PaperOrder | None) -> web.Response:
        if order is None:
            return _error(404, 40410000, "order not found")
        return web.json_response(_order(order))

    def _with_client_id(self, client_id: str) -> PaperOrder | None:
        of = (order for order in self._account.orders.values() if order.client_id == client_id)
        return next(of, None)

    async def _submit(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self._with_client_id(body["client_order_id"]):
            return _error(422, 40010001, "client_order_id must be unique")
        order = PaperOrder(
            number=len(self._account.orders) + 1,
            client_id=body["client_order_id"],
            symbol=body["symbol"],
            side=body["side"],
            kind=body["type"],
            quantity=Decimal(body["qty"]),
            price=Decimal(body.get("limit_price") or body.get("stop_price") or 0),
        )
        try:
            self._account.submit(order)
        except Refusal as error:
            return _error(403 if "insufficient" in str(error) else 422, 40310000, str(error))
        self._board.note("order_accepted")
        return web.json_response(_order(order))

    async def _cancel(self, request: web.Request) -> web.Response:
        if request.match_info["id"] not in self._account.orders:
            return _error(404, 40410000, "order not found")
        if not self._account.cancel(request.match_info["id"]):
            return _error(422, 42210000, "order is not cancelable")
        return web.Response(status=204)

    async def _cancel_all(self, _: web.Request) -> web.Response:
        there = list(self._account.open_orders())
        for order in there:
            self._account.cancel(order.order_id)
        return web.json_response(
            [{"id": order.order_id, "status": 200} for order in there], status=207
        )

    async def _activities(self, request: web.Request) -> web.Response:
        after = datetime.fromisoformat(request.query["after"]).timestamp()
        fills_only = request.path.endswith("/FILL")
        found = [activity for at, activity in self._all_activities() if at >= after]
        found = [
            activity for activity in found if not fills_only or activity["activity_type"] == "FILL"
        ]
        token = request.query.get("page_token")
        if token:
            found = [activity for activity in found if activity["id"] > token]
        return web.json_response(found[: int(request.query.get("page_size", PAGE_SIZE))])

    def _all_activities(self) -> Iterator[tuple[float, dict[str, Any]]]:
        found = [(fill.at, _fill(order, fill)) for order, fill in self._account.fills()]
        found += [(at, _transfer(name, amount, at)) for name, amount, at in self._account.transfers]
        return iter(sorted(found, key=lambda pair: pair[1]["id"]))

    async def _bars(self, request: web.Request) -> web.Response:
        symbol = request.query["symbols"]
        price = float(self._account.prices[symbol])
        start = datetime.fromisoformat(request.query["start"]).timestamp()
        begin = max(start - start % 60, clock.timestamp() // 60 * 60 - 3600)
        bars = [
            {"t": _text(at), "o": price, "h": price, "l": price, "c": price, "v": 100}
            for at in range(int(begin), int(clock.timestamp()), 60)
        ]
        return web.json_response({"bars": {symbol: bars}, "next_page_token": None})

    async def _feed(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        feed = Feed(socket)
        await feed.send({"T": "success", "msg": "connected"})
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    await self._answer(feed, msgspec.msgpack.decode(message.data))
        finally:
            self._feeds.discard(feed)
        return socket

    async def _answer(self, feed: "Feed", message: dict[str, Any]) -> None:
        match message["action"]:
            case "auth" if (message["key"], message["secret"]) == (self._key, self._secret):
                await feed.send({"T": "success", "msg": "authenticated"})
            case "subscribe":
                feed.symbols += message.get("quotes", [])
                self._feeds.add(feed)
                self._board.note("feed_subscribed")
                await feed.send({"T": "subscription", "quotes": feed.symbols})
            case _:
                await feed.send({"T": "error", "code": 402, "msg": "auth failed"})


class Feed:
    """One connection of the feed."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        """Start without a symbol."""
        self.symbols: list[str] = []
        self.silent = False
        """A stale feed stays connected but sends nothing."""

        self._socket = socket

    async def send(self, *messages: dict[str, Any]) -> None:
        """Send messages, if the client is still connected."""
        if not self._socket.closed:
            await self._socket.send_bytes(msgspec.msgpack.encode(messages))

    async def send_quotes(self, account: Account) -> None:
        """Send the quotes of its symbols."""
        if not self.silent and self.symbols:
            now = datetime.fromtimestamp(clock.timestamp(), UTC)
            await self.send(
                *(
                    {"T": "q", "S": symbol, "t": now, "bp": float(bid), "bs": 1, "ap": float(ask)}
                    | {"as": 1, "bx": "V", "ax": "V", "c": ["R"], "z": "C"}
                    for symbol in self.symbols
                    for bid, ask in (account.quote(symbol),)
                )
            )


def _order(order: PaperOrder) -> dict[str, Any]:
    # A multi-leg order has them in its legs only.
    single = {"symbol": order.symbol, "side": order.side} if order.security == "STK" else {}
    return single | {
        "id": order.order_id,
        "client_order_id": order.client_id,
        "created_at": _text(order.at),
        "type": order.kind,
        "qty": str(order.quantity) if order.notional is None else None,
        "notional": str(order.notional) if order.notional is not None else None,
        "filled_qty": str(order.filled),
        "filled_avg_price": str(order.average) if order.fills else None,
        "limit_price": str(order.price) if order.kind == LIMIT else None,
        "stop_price": str(order.price) if order.kind == STOP else None,
        "status": STATUSES[order.status],
        "time_in_force": "day",
    }


def _fill(order: PaperOrder, fill: Any) -> dict[str, Any]:
    return {
        "activity_type": "FILL",
        "id": f"{int(fill.at * 1e6):020d}::{fill.fill_id}",
        "transaction_time": _text(fill.at),
        "type": "fill" if fill.cumulative == order.quantity else "partial_fill",
        "price": str(fill.price),
        "qty": str(fill.quantity),
        "cum_qty": str(fill.cumulative),
        "side": "buy" if order.side == BUY else "sell",
        "symbol": order.symbol,
        "order_id": order.order_id,
    }


def _transfer(name: str, amount: Decimal, at: float) -> dict[str, Any]:
    return {
        "activity_type": "CSD" if amount > 0 else "CSW",
        "id": f"{int(at * 1e6):020d}::{name}",
        "date": _text(at)[:10],
        "created_at": _text(at),
        "net_amount": str(amount),
    }


def _error(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message}, status=status)


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
