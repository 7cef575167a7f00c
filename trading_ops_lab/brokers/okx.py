"""A local venue with the part of OKX' API v5 that ccxt uses for a spot account.

Requests are signed as OKX requires it, with a passphrase. The fee of a purchase is taken from what
was bought, and that of a sale from the proceeds.
"""

import base64
import hashlib
import hmac
import json
from decimal import Decimal
from typing import Any

from aiohttp import web

from trading_ops import clock
from trading_ops_lab.brokers.account import (
    BUY,
    CANCELLED,
    CASH,
    FILLED,
    LIMIT,
    MARKET,
    OPEN,
    Account,
    Fill,
    PaperOrder,
    Refusal,
)
from trading_ops_lab.brokers.faults import DISCONNECT, REFUSE, Board

STATES = {OPEN: "live", FILLED: "filled", CANCELLED: "canceled"}
FEE_RATE = Decimal("0.001")
MAX_CLIENT_ID = 32
Row = dict[str, Any]


class OkxServer:
    """One account behind the protocol."""

    def __init__(
        self, account: Account, board: Board, *, key: str, secret: str, passphrase: str
    ) -> None:
        """Serve an account; a disconnect refuses every connection that is open then."""
        self._account, self._board = account, board
        self._key, self._secret, self._passphrase = key, secret, passphrase
        self._connections: set[object] = set()
        self._dropped: set[object] = set()
        board.on_fault = self._fault_began

    def build(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[self._admit])
        for path, handler in {
            "public/time": self._time,
            "public/instruments": self._instruments,
            "asset/currencies": self._none,
            "account/balance": self._balance,
            "account/bills": self._bills,
            "market/ticker": self._ticker,
            "trade/order": self._order,
            "trade/orders-pending": self._pending,
            "trade/orders-history": self._history,
            "trade/fills-history": self._fills,
        }.items():
            app.router.add_get(f"/api/v5/{path}", handler)
        app.router.add_post("/api/v5/trade/order", self._submit)
        app.router.add_post("/api/v5/trade/batch-orders", self._submit)
        app.router.add_post("/api/v5/trade/cancel-order", self._cancel)
        app.router.add_post("/api/v5/trade/cancel-all-after", self._none)
        return app

    def _fault_began(self, kind: str) -> None:
        if kind == DISCONNECT:
            self._dropped |= self._connections

    @web.middleware
    async def _admit(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self._board.has(REFUSE):
            return _error("50001", "Service temporarily unavailable", status=503)
        connection = request.transport
        if connection not in self._connections:
            self._connections.add(connection)
            self._board.note("session_joined")
        public = request.path.startswith(("/api/v5/public", "/api/v5/market"))
        if not public:
            headers = request.headers
            if headers.get("OK-ACCESS-KEY") != self._key or connection in self._dropped:
                return _error("50111", "Invalid OK-ACCESS-KEY", status=401)
            if headers.get("OK-ACCESS-PASSPHRASE") != self._passphrase:
                return _error("50105", "Request header OK-ACCESS-PASSPHRASE incorrect", status=401)
            stamp = headers["OK-ACCESS-TIMESTAMP"]
            body = await request.text()
            text = f"{stamp}{request.method}{request.raw_path}{body}".encode()
            digest = hmac.new(self._secret.encode(), text, hashlib.sha256).digest()
            if headers["OK-ACCESS-SIGN"] != base64.b64encode(digest).decode():
                return _error("50113", "Invalid Sign", status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _none(self, _: web.Request) -> web.Response:
        return _answer()

    async def _time(self, _: web.Request) -> web.Response:
        return _answer({"ts": _milliseconds(clock.timestamp())})

    async def _instruments(self, _: web.Request) -> web.Response:
        rows = [
            {
                "instType": "SPOT",
                "instId": f"{base}-{CASH}",
                "baseCcy": base,
                "quoteCcy": CASH,
                "tickSz": "0.1",
                "lotSz": "0.00000001",
                "minSz": "0.0001",
                "state": "live",
            }
            for base in self._account.prices
        ]
        return _answer(*rows)

    async def _ticker(self, request: web.Request) -> web.Response:
        name = request.query["instId"]
        bid, ask = self._account.quote(name.partition("-")[0])
        now = _milliseconds(clock.timestamp())
        row = {"bidPx": str(bid), "askPx": str(ask), "last": str(bid), "ts": now}
        return _answer({"instType": "SPOT", "instId": name, **row})

    async def _balance(self, _: web.Request) -> web.Response:
        account = self._account
        rows = [(CASH, account.cash, account.reserved_cash)]
        for base, quantity in account.shares.items():
            rows.append((base, quantity, quantity - account.available(base)))
        details = [
            {"ccy": name, "eq": str(total), "availBal": str(total - held), "frozenBal": str(held)}
            for name, total, held in rows
        ]
        return _answer({"uTime": _milliseconds(clock.timestamp()), "details": details})

    async def _bills(self, request: web.Request) -> web.Response:
        begin = int(request.query.get("begin", 0))
        rows = [
            {
                "billId": name,
                "type": "1",
                "ccy": CASH,
                "balChg": str(amount),
                "bal": str(self._account.cash),
                "fee": "0",
                "ts": _milliseconds(at),
            }
            for name, amount, at in reversed(self._account.transfers)
            if at * 1000 >= begin
        ]
        return _answer(*rows[:100])

    async def _order(self, request: web.Request) -> web.Response:
        order = self._account.orders.get(request.query.get("ordId", ""))
        if order is None:
            return _error("51603", "Order does not exist")
        return _answer(self._row(order))

    async def _pending(self, _: web.Request) -> web.Response:
        return _answer(*map(self._row, self._account.open_orders()))

    async def _history(self, request: web.Request) -> web.Response:
        state = request.query.get("state")
        rows = [self._row(order) for order in reversed(self._account.orders.values())]
        return _answer(*[row for row in rows if row["state"] == state][:100])

    async def _fills(self, request: web.Request) -> web.Response:
        begin = int(request.query.get("begin", 0))
        end = int(request.query.get("end", 10**15))
        rows = [
            self._fill(order, fill)
            for order, fill in self._account.fills()
            if begin <= int(_milliseconds(fill.at)) <= end
        ]
        return _answer(*rows[::-1][:100])

    async def _submit(self, request: web.Request) -> web.Response:
        body = json.loads(await request.text())
        wanted: Row = body[0] if isinstance(body, list) else body
        client_id = wanted["clOrdId"]
        if not client_id.isalnum() or len(client_id) > MAX_CLIENT_ID:
            return _rejected("51000", "Parameter clOrdId error")
        if any(order.client_id == client_id for order in self._account.orders.values()):
            return _rejected("51016", "Client order ID already exists")
        order = PaperOrder(
            number=len(self._account.orders),
            client_id=client_id,
            symbol=wanted["instId"].partition("-")[0],
            side=wanted["side"],
            kind=LIMIT if wanted["ordType"] == "limit" else MARKET,
            quantity=Decimal(wanted["sz"]),
            price=Decimal(wanted.get("px") or 0),
            order_id=str(10**18 + len(self._account.orders)),
        )
        try:
            self._account.submit(order)
        except Refusal as error:
            return _rejected("51008", f"Order failed. {error}")
        if order.fills:
            self._take_fees(order)
        self._board.note("order_accepted")
        row = {"ordId": order.order_id, "clOrdId": client_id, "sCode": "0", "sMsg": ""}
        return _answer(row)

    async def _cancel(self, request: web.Request) -> web.Response:
        order_id = json.loads(await request.text())["ordId"]
        if not self._account.cancel(order_id):
            return _rejected("51400", "Cancellation failed as the order does not exist")
        return _answer({"ordId": order_id, "clOrdId": "", "sCode": "0", "sMsg": ""})

    def _take_fees(self, order: PaperOrder) -> None:
        for fill in order.fills:
            if order.side == BUY:
                self._account.shares[order.symbol] -= fill.quantity * FEE_RATE
            else:
                self._account.cash -= fill.quantity * fill.price * FEE_RATE

    def _row(self, order: PaperOrder) -> Row:
        return {
            "instType": "SPOT",
            "instId": f"{order.symbol}-{CASH}",
            "ordId": order.order_id,
            "clOrdId": order.client_id,
            "side": order.side,
            "ordType": order.kind,
            "tgtCcy": "base_ccy",
            "px": str(order.price) if order.kind == LIMIT else "",
            "sz": str(order.quantity),
            "accFillSz": str(order.filled),
            "avgPx": str(order.average) if order.fills else "",
            "fee": "0",
            "feeCcy": CASH,
            "state": STATES[order.status],
            "cTime": _milliseconds(order.at),
            "uTime": _milliseconds(order.at),
        }

    def _fill(self, order: PaperOrder, fill: Fill) -> Row:
        bought = order.side == BUY
        fee = fill.quantity * FEE_RATE * (1 if bought else fill.price)
        return {
            "instType": "SPOT",
            "instId": f"{order.symbol}-{CASH}",
            "tradeId": fill.fill_id,
            "billId": fill.fill_id,
            "ordId": order.order_id,
            "clOrdId": order.client_id,
            "side": order.side,
            "fillPx": str(fill.price),
            "fillSz": str(fill.quantity),
            "fee": str(-fee),
            "feeCcy": order.symbol if bought else CASH,
            "execType": "T",
            "ts": _milliseconds(fill.at),
        }


def _answer(*rows: Row) -> web.Response:
    return web.json_response({"code": "0", "msg": "", "data": list(rows)})


def _error(code: str, message: str, *, status: int = 200) -> web.Response:
    return web.json_response({"code": code, "msg": message, "data": []}, status=status)


def _rejected(code: str, message: str) -> web.Response:
    row = {"ordId": "", "clOrdId": "", "sCode": code, "sMsg": message}
    return web.json_response({"code": "1", "msg": "", "data": [row]})


def _milliseconds(at: float) -> str:
    return str(int(at * 1000))
