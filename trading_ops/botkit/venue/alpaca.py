"""A venue adapter for Alpaca, through its own library `alpaca-py`: shares of a cash account.

A share is handled as on a spot market: the symbol `AAPL/USD` has the base `AAPL`, and a holding is
a balance of it. A short position is a negative balance, which reconciliation reports as drift.
Requests and answers are Alpaca's texts, because the library's models convert quantities to floats.

    client = AlpacaClient(key, secret, paper=True, timeout_seconds=5)
    venue = Alpaca(client, symbols=["AAPL/USD"])
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import requests
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from requests.adapters import HTTPAdapter

from trading_ops.agent import Side
from trading_ops.botkit.orders.market import Rules
from trading_ops.botkit.orders.order import Order, OrderStatus, OrderType, VenueOrder
from trading_ops.botkit.venue.adapter import (
    AccountHistoryPage,
    Balance,
    Candle,
    Cursor,
    LedgerEntry,
    VenueTrade,
)
from trading_ops.botkit.venue.errors import AnsweredError, VenueDown

CASH = "USD"
MAX_ORDERS = 500
"""Orders in one answer; there is no next page."""

PAGE_SIZE = 100
"""Activities in one answer."""

SHARE = Rules(tick=Decimal("0.01"), lot=Decimal(1), minimum=Decimal(1))
"""Rules of a stock that is not fractionable; prices from one dollar on have two decimals."""

FRACTION = Decimal("0.000000001")
TYPES = {OrderType.LIMIT: "limit", OrderType.MARKET: "market", OrderType.STOP_LOSS: "stop"}
ENDED = {
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELLED,
    "replaced": OrderStatus.CANCELLED,
    "expired": OrderStatus.EXPIRED,
    "done_for_day": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}
NOT_FOUND, FORBIDDEN, SERVER_ERROR = 404, 403, 500
CODES = {401: "unauthorized", 429: "rate_limited", 400: "refused", 404: "refused", 422: "refused"}
FUNDS = "40310000"
"""Alpaca's code of a 403 that rejects an order: too little buying power, or too few shares."""


@dataclass(frozen=True, kw_only=True)
class AlpacaCursor(Cursor):
    """The last activity that was read."""

    token: str = ""


class Alpaca:
    """Makes each request once, in a thread, and never repeats it."""

    def __init__(
        self,
        client: "AlpacaClient",
        *,
        symbols: Sequence[str],
        bars: Any = None,
        on_limit: Callable[[int, int], None] = lambda _limit, _left: None,
    ) -> None:
        """Trade through a client, which belongs to this adapter from now on.

        Args:
            client: of the account.
            symbols: such as `AAPL/USD`; all are quoted in dollars.
            bars: a `StockHistoricalDataClient` with `raw_data`, for `candles`.
            on_limit: receives the limit of requests a minute and how many are left of it.
        """
        client.on_limit = on_limit
        self._client = client
        self._bars = bars
        self._symbols = {symbol.partition("/")[0]: symbol for symbol in symbols}
        self._rules: dict[str, Rules] = {}

    def renew(self) -> None:
        """Drop the connections; the next request opens a new one."""
        self._client.renew()

    async def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def load_markets(self) -> None:
        """Load the trading rules of the symbols."""
        for name, symbol in self._symbols.items():
            asset = await self._ask("GET", f"/assets/{name}")
            if not asset["tradable"]:
                raise AnsweredError("refused", f"{symbol} is not tradable on Alpaca")
            lot = FRACTION if asset["fractionable"] else SHARE.lot
            self._rules[symbol] = replace(SHARE, lot=lot, minimum=lot)

    def rules(self, symbol: str) -> Rules:
        """Return the trading rules of a symbol; call `load_markets` first.

        Raises:
            KeyError: the symbol was not loaded.
        """
        return self._rules[symbol]

    async def server_time(self) -> float:
        """Return the venue's clock in seconds since the epoch."""
        return _seconds((await self._ask("GET", "/clock"))["timestamp"])

    async def balances(self) -> dict[str, Balance]:
        """Return the cash and the shares of the account."""
        account = await self._ask("GET", "/account")
        cash = Decimal(account["cash"])
        free = Decimal(account["non_marginable_buying_power"])
        found = {CASH: Balance(total=cash, held=max(Decimal(0), cash - free))}
        for position in await self._ask("GET", "/positions"):
            quantity, free = Decimal(position["qty"]), Decimal(position["qty_available"])
            found[position["symbol"]] = Balance(total=quantity, held=quantity - free)
        return found

    async def positions(self) -> dict[str, Decimal]:
        """Return an empty mapping: shares are balances."""
        return {}

    async def open_orders(self) -> list[VenueOrder]:
        """Return all open orders of the account, but no multi-leg orders of options.

        Raises:
            VenueDown: there are too many, or the fills of one are not all reported yet.
        """
        found = await self._ask("GET", "/orders", {"status": "open", "limit": MAX_ORDERS})
        if len(found) >= MAX_ORDERS:
            raise VenueDown(f"Alpaca returns {MAX_ORDERS} open orders at most; there may be more")
        return await self._exact([self._order(order) for order in found if order.get("symbol")])

    async def orders(self, venue_ids: Sequence[str]) -> list[VenueOrder]:
        """Return the state of these orders, open or closed; unknown IDs are omitted."""
        found = [await self._one(f"/orders/{venue_id}") for venue_id in venue_ids]
        return await self._exact([self._order(order) for order in found if order])

    async def find(self, client_id: str) -> VenueOrder | None:
        """Return the order with this client ID, open or closed; None if Alpaca has none."""
        order = await self._one("/orders:by_client_order_id", {"client_order_id": client_id})
        return (await self._exact([self._order(order)]))[0] if order else None

    async def history(self, since: float, cursor: Cursor) -> AccountHistoryPage:
        """Return one page of the account's activities since a given time; see `VenueAdapter`."""
        token = cursor.token if isinstance(cursor, AlpacaCursor) else ""
        page = await self._activities("", since, token)
        # Activities other than trades have a time of creation only since 2024, otherwise a day.
        timed = [
            activity
            for activity in page
            if "transaction_time" in activity or "created_at" in activity
        ]
        trades = [activity for activity in timed if activity["activity_type"] == "FILL"]
        others = [activity for activity in timed if activity["activity_type"] != "FILL"]
        ledger = [_entry(activity) for activity in others]
        return AccountHistoryPage(
            trades=tuple(trade for trade in map(self._trade, trades) if trade.at >= since),
            ledger=tuple(entry for entry in ledger if entry.at >= since),
            complete=len(timed) == len(page),
            next_cursor=AlpacaCursor(token=page[-1]["id"]) if len(page) == PAGE_SIZE else None,
        )

    async def submit(self, order: Order) -> str:
        """Send an order for the day with its client ID; return Alpaca's order ID."""
        body = {
            "symbol": order.symbol.partition("/")[0],
            "qty": format(order.quantity, "f"),
            "side": order.side.value,
            "type": TYPES[order.type],
            "time_in_force": "day",
            "client_order_id": order.client_id,
        }
        if order.type is OrderType.LIMIT:
            body["limit_price"] = format(order.price, "f")
        if order.type is OrderType.STOP_LOSS:
            body["stop_price"] = format(order.stop_price or order.price, "f")
        return str((await self._ask("POST", "/orders", body))["id"])

    async def cancel(self, venue_id: str) -> None:
        """Cancel an order by Alpaca's ID."""
        await self._ask("DELETE", f"/orders/{venue_id}")

    async def cancel_all(self) -> int:
        """Cancel all open orders of the account; return how many were open."""
        return len(await self._ask("DELETE", "/orders"))

    async def cancel_all_after(self, seconds: int) -> None:
        """Alpaca has no dead man's switch.

        Raises:
            AnsweredError: always.
        """
        raise AnsweredError("refused", f"Alpaca has no dead man's switch of {seconds} s")

    async def candles(self, symbol: str, *, timeframe: str, since: float) -> list[Candle]:
        """Return bars since a given time, oldest first; the last one may still be open."""
        from alpaca.data.requests import StockBarsRequest  # noqa: PLC0415 - imports pandas
        from alpaca.data.timeframe import TimeFrame, TimeFrameUnit  # noqa: PLC0415

        unit = {"m": TimeFrameUnit.Minute, "h": TimeFrameUnit.Hour, "d": TimeFrameUnit.Day}
        name = symbol.partition("/")[0]
        request = StockBarsRequest(
            symbol_or_symbols=name,
            timeframe=TimeFrame(int(timeframe[:-1]), unit[timeframe[-1]]),
            start=datetime.fromtimestamp(since, UTC),
        )
        found = await _in_thread(self._bars.get_stock_bars, request)
        return [
            Candle(
                opened_at=_seconds(bar["t"]),
                open=Decimal(str(bar["o"])),
                high=Decimal(str(bar["h"])),
                low=Decimal(str(bar["l"])),
                close=Decimal(str(bar["c"])),
                volume=Decimal(str(bar["v"])),
            )
            for bar in found.get(name, ())
        ]

    async def _ask(self, method: str, path: str, data: Mapping[str, Any] | None = None) -> Any:
        ask: dict[str, Callable[..., Any]] = {
            "GET": self._client.get,
            "POST": self._client.post,
            "DELETE": self._client.delete,
        }
        answer = _in_thread(ask[method], path, data and dict(data))
        return await (answer if method == "GET" else _to_its_end(answer))

    async def _one(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return one object; None if Alpaca has none."""
        try:
            return await self._ask("GET", path, params)
        except AnsweredError as error:
            if isinstance(error.__cause__, APIError) and error.__cause__.status_code == NOT_FOUND:
                return None
            raise

    async def _activities(self, kind: str, since: float, token: str) -> list[dict[str, Any]]:
        # From the start of the day: activities without a time are listed at midnight.
        params = {"direction": "asc", "page_size": PAGE_SIZE, "after": _day(since)}
        if token:
            params["page_token"] = token
        found: list[dict[str, Any]] = await self._ask("GET", f"/account/activities{kind}", params)
        return found

    async def _exact(self, reports: list[VenueOrder]) -> list[VenueOrder]:
        """Replace costs by those of the fills: Alpaca's average price is rounded.

        Raises:
            VenueDown: the fills of an order are not all reported yet.
        """
        filled = [report for report in reports if report.filled]
        if not filled:
            return reports
        since, token = min(report.opened_at for report in filled), ""
        fills: list[VenueTrade] = []
        while True:
            page = await self._activities("/FILL", since, token)
            fills += [self._trade(activity) for activity in page]
            if len(page) < PAGE_SIZE:
                break
            token = page[-1]["id"]
        exact = []
        for report in reports:
            own = [fill for fill in fills if fill.venue_id == report.venue_id]
            if sum((fill.quantity for fill in own), Decimal(0)) != report.filled:
                raise VenueDown(f"the fills of order {report.venue_id} are not all reported yet")
            exact.append(replace(report, cost=sum((fill.cost for fill in own), Decimal(0))))
        return exact

    def _order(self, order: Mapping[str, Any]) -> VenueOrder:
        # An order from elsewhere can have another type, or an amount of money and no quantity.
        kind = {text: name for name, text in TYPES.items()}.get(order["type"], OrderType.LIMIT)
        return VenueOrder(
            venue_id=order["id"],
            client_id=order["client_order_id"],
            symbol=self._symbol(order["symbol"]),
            side=Side(order["side"]),
            price=Decimal(order["limit_price"] or 0),
            quantity=Decimal(order["qty"] or order["filled_qty"]),
            status=ENDED.get(order["status"], OrderStatus.ACCEPTED),
            filled=Decimal(order["filled_qty"]),
            cost=Decimal(0),
            fee=Decimal(0),
            type=kind,
            stop_price=Decimal(order["stop_price"]) if order["stop_price"] else None,
            opened_at=_seconds(order["created_at"]),
        )

    def _trade(self, activity: Mapping[str, Any]) -> VenueTrade:
        quantity = Decimal(activity["qty"])
        return VenueTrade(
            trade_id=activity["id"],
            venue_id=activity["order_id"],
            client_id=None,
            symbol=self._symbol(activity["symbol"]),
            side=Side.BUY if activity["side"] == "buy" else Side.SELL,  # also sell_short
            quantity=quantity,
            cost=quantity * Decimal(activity["price"]),
            fee=Decimal(0),  # regulatory fees are entries of the ledger, at the end of the day
            at=_seconds(activity["transaction_time"]),
        )

    def _symbol(self, name: str) -> str:
        return self._symbols.get(name, f"{name}/{CASH}")


class AlpacaClient(TradingClient):
    """The library's client with a timeout and without retries.

    A request without an answer may have had an effect, so the bot decides what follows.
    """

    def __init__(self, key: str, secret: str, *, timeout_seconds: float, **options: Any) -> None:
        """Connect with the first request.

        Args:
            key: the API key.
            secret: its secret.
            timeout_seconds: of connecting and of each read.
            options: of `TradingClient`, such as `paper=False`.
        """
        super().__init__(key, secret, raw_data=True, **options)
        self._retry = 0
        self._timeout = timeout_seconds
        self.on_limit: Callable[[int, int], None] = lambda _limit, _left: None
        self.renew()

    def renew(self) -> None:
        """Replace the session and its connections."""
        old, self._session = self._session, requests.Session()
        adapter = _TimeLimited(self._timeout)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._session.hooks["response"].append(self._read_limit)
        old.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _read_limit(self, response: requests.Response, **_: object) -> None:
        headers = response.headers
        if "X-RateLimit-Limit" in headers:
            self.on_limit(int(headers["X-RateLimit-Limit"]), int(headers["X-RateLimit-Remaining"]))


class _TimeLimited(HTTPAdapter):
    """Gives each request a timeout."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def send(self, *args: Any, **options: Any) -> requests.Response:
        """Send a request."""
        return super().send(*args, **{**options, "timeout": self._seconds})


async def _in_thread(ask: Callable[..., Any], *arguments: Any) -> Any:
    """Make a request, and classify its error.

    Raises:
        AnsweredError: Alpaca answered with an error.
    """
    try:
        return await asyncio.to_thread(ask, *arguments)
    except APIError as error:
        raise AnsweredError(_code(error), str(error)) from error


async def _to_its_end(request: Coroutine[Any, Any, Any]) -> Any:
    """Await a request; a cancellation takes effect once it has ended.

    Its thread cannot be cancelled. The caller, which makes one request at a time, must not send a
    cancel before an order that is still under way.
    """
    task = asyncio.create_task(request)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        raise


def _code(error: APIError) -> str:
    status, text = error.status_code or 0, str(error)
    if "client_order_id must be unique" in text:
        return "other"  # not a rejection: an order with this ID exists
    if status == FORBIDDEN:
        return "refused" if FUNDS in text else "unauthorized"
    return CODES.get(status, "unavailable" if status >= SERVER_ERROR else "other")


def _entry(activity: Mapping[str, Any]) -> LedgerEntry:
    money = Decimal(activity["net_amount"])
    return LedgerEntry(
        ledger_id=activity["id"],
        kind=activity["activity_type"],
        currency=CASH if money else activity.get("symbol", CASH),
        amount=money or Decimal(activity.get("qty", 0)),
        fee=Decimal(0),
        at=_seconds(activity["created_at"]),
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}T00:00:00Z"
