"""A venue adapter for any spot venue that ccxt supports: unified methods only, exact numbers.

A dedicated adapter can do more, because ccxt's unified answers omit some fields and each venue
pages its history differently. An answer that may be cut off is reported as incomplete, and nothing
is concluded from what is missing in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import aiohttp

from trading_ops.botkit.orders.market import Rules
from trading_ops.botkit.orders.order import Order, OrderType, VenueOrder
from trading_ops.botkit.venue.adapter import (
    AccountHistoryPage,
    Balance,
    Candle,
    Cursor,
)
from trading_ops.botkit.venue.ccxt_history import Ask, CcxtCursor, HistoryRange
from trading_ops.botkit.venue.ccxt_values import (
    compact,
    decimal,
    entry_of,
    order_of,
    snake,
    trade_of,
)
from trading_ops.botkit.venue.errors import VenueDown

ENDED = ("fetchClosedOrders", "fetchCanceledOrders")
ENDED_TOO = ("fetchCanceledAndClosedOrders", "fetchOrders")
"""ccxt methods that return closed orders; the second pair is used where a venue lacks the first."""

DECIMAL_PLACES = 2
"""ccxt's `precisionMode` for a number of digits; in other modes the precision is a step."""


class CcxtVenue:
    """An `HttpVenueAdapter` on an asynchronous ccxt client that the caller creates.

    Example:
        client = ccxt.kraken({"apiKey": key, "secret": secret})
        client.nonce = nonces.issue
        venue = CcxtVenue(client, symbols=["BTC/USD"])
        broker = Broker(metrics, make_client=lambda: venue, nonces=nonces, ...)
    """

    def __init__(
        self,
        client: Any,
        *,
        symbols: Sequence[str],
        page_size: int = 50,
        compact_client_ids: bool = False,
    ) -> None:
        """Use the client; no request is made yet.

        Args:
            client: an instance of a class of `ccxt.async_support`, with its keys.
            symbols: queried one by one where the venue requires a symbol.
            page_size: maximum number of entries in the venue's answers: a page of this length may
                be cut off.
            compact_client_ids: for venues whose client IDs have letters and digits only, as OKX.
        """
        client.number = str  # ccxt's floats would round amounts that must be exact
        self._client = client
        self._symbols = tuple(symbols)
        self._page_size = page_size
        self._sent_id: Callable[[str], str] = compact if compact_client_ids else str

    def use_session(self, session: aiohttp.ClientSession) -> None:
        """Make all further requests through this session."""
        self._client.session = session

    async def close(self) -> None:
        """Close the client; the session that was passed to `use_session` stays open."""
        self._client.session = None
        await self._client.close()

    async def load_markets(self) -> None:
        """Load the markets and their trading rules."""
        await self._client.load_markets()

    def rules(self, symbol: str) -> Rules:
        """Return the trading rules of a symbol; call `load_markets` first.

        Raises:
            KeyError: the venue does not have this symbol.
        """
        market = self._client.markets[symbol]
        lot = self._step(market["precision"]["amount"])
        least = (market["limits"]["amount"] or {}).get("min")
        return Rules(
            tick=self._step(market["precision"]["price"]),
            lot=lot,
            minimum=lot if least is None else decimal(least),
        )

    async def server_time(self) -> float:
        """Return the venue's clock in seconds since the epoch."""
        return float(await self._client.fetch_time()) / 1000

    async def balances(self) -> dict[str, Balance]:
        """Return the account's balances by currency."""
        answer = await self._client.fetch_balance()
        return {
            name: Balance(total=decimal(total), held=decimal(answer["used"].get(name)))
            for name, total in answer["total"].items()
            if total is not None
        }

    async def positions(self) -> dict[str, Decimal]:
        """Return an empty mapping: on a spot market a position is a balance."""
        return {}

    async def open_orders(self) -> list[VenueOrder]:
        """Return all open orders of the account.

        Raises:
            VenueDown: the trades of an order are not all reported yet.
        """
        ask = self._client.fetch_open_orders
        scopes = self._scopes("fetchOpenOrders")
        return await self._exact(
            [order_of(order) for symbol in scopes for order in await ask(symbol)]
        )

    async def orders(self, venue_ids: Sequence[str]) -> list[VenueOrder]:
        """Return the state of these orders, open or closed; unknown ones are omitted.

        Raises:
            VenueDown: the trades of an order are not all reported yet.
        """
        found = []
        for venue_id in venue_ids:
            order = await self._one(venue_id)
            if order is not None:
                found.append(order)
        return await self._exact(found)

    async def find(self, client_id: str) -> VenueOrder | None:
        """Return the order with this client ID, open or closed; None if the venue has none.

        Raises:
            VenueDown: it was not found, but the answer may be cut off or the venue does not return
                closed orders.
        """
        wanted = self._sent_id(client_id)
        params, ended = {"clientOrderId": wanted}, self._has(ENDED) or self._has(ENDED_TOO)
        cut = not ended
        for name in (*self._has(("fetchOpenOrders",)), *ended):
            ask = getattr(self._client, snake(name))
            for symbol in self._scopes(name):
                page = await ask(symbol, params=params)
                cut = cut or len(page) >= self._page_size
                for order in page:
                    if order.get("clientOrderId") == wanted:
                        return (await self._exact([order_of(order)]))[0]
        if cut:
            raise VenueDown(f"the venue does not return all orders; {client_id} may be missing")
        return None

    async def history(self, since: float, cursor: Cursor) -> AccountHistoryPage:
        """Return one page of trades and ledger entries since a given time; see `VenueAdapter`."""
        lists = self._lists()
        at = cursor if isinstance(cursor, CcxtCursor) else await self._first(since)
        ask, scopes = lists[at.which]
        page = await at.part.ask(ask, scopes)
        entries = at.part.new_entries(page)
        part = at.part.after(page, page_size=self._page_size)
        following: CcxtCursor | None = replace(at, part=part)
        if part.finished:
            next_part = HistoryRange(start=part.start, end=part.end)
            following = replace(at, which=at.which + 1, part=next_part)
            if following.which == len(lists):
                following = None
        ledger = ask == self._client.fetch_ledger
        if following is not None and lists[following.which][0] == self._client.fetch_ledger:
            following = replace(following, endpoint="Ledgers")
        # Without a ledger, deposits cannot be distinguished from losses.
        has_ledger = following is not None or ledger
        return AccountHistoryPage(
            trades=() if ledger else tuple(trade_of(entry) for entry in entries),
            ledger=tuple(
                entry_of(entry) for entry in entries if ledger and entry["type"] != "trade"
            ),
            complete=has_ledger and (part.complete or not part.finished),
            next_cursor=following,
        )

    def _lists(self) -> list[tuple[Ask, str | None]]:
        """Return the lists of the history: trades (per symbol where required), and the ledger."""
        trades = [
            (self._client.fetch_my_trades, symbol) for symbol in self._scopes("fetchMyTrades")
        ]
        has_ledger = self._client.has.get("fetchLedger")
        return [*trades, (self._client.fetch_ledger, None)] if has_ledger else trades

    async def _first(self, since: float) -> CcxtCursor:
        end = int(await self.server_time() * 1000) + 1000
        return CcxtCursor(which=0, part=HistoryRange(start=max(1, int(since * 1000)), end=end))

    async def _trades(self, since: float) -> list[dict[str, Any]]:
        """Return all trades since a given time that the venue returns."""
        trades: list[dict[str, Any]] = []
        first = (await self._first(since)).part
        for symbol in self._scopes("fetchMyTrades"):
            part = first
            while not part.finished:
                page = await part.ask(self._client.fetch_my_trades, symbol)
                trades += part.new_entries(page)
                part = part.after(page, page_size=self._page_size)
        return trades

    async def _exact(self, reports: list[VenueOrder]) -> list[VenueOrder]:
        """Replace costs and fees by those of the trades, because ccxt computes inexact ones.

        A quantity is what the account received: less than the order's if the fee is in base
        currency.

        Raises:
            VenueDown: the trades of an order are not all reported yet.
        """
        filled = [report for report in reports if report.filled]
        if not filled:
            return reports
        since = min(report.opened_at for report in filled) - 1
        trades = await self._trades(since)
        exact = []
        for report in reports:
            entries = [trade for trade in trades if str(trade["order"]) == report.venue_id]
            if sum((decimal(entry["amount"]) for entry in entries), Decimal(0)) != report.filled:
                raise VenueDown(f"the trades of order {report.venue_id} are not all reported yet")
            own = [trade_of(entry) for entry in entries]
            exact.append(
                replace(
                    report,
                    filled=sum((trade.quantity for trade in own), Decimal(0)),
                    cost=sum((trade.cost for trade in own), Decimal(0)),
                    fee=sum((trade.fee for trade in own), Decimal(0)),
                )
            )
        return exact

    async def submit(self, order: Order) -> str:
        """Send an order with its client ID; return the venue's order ID."""
        params: dict[str, str] = {"clientOrderId": self._sent_id(order.client_id)}
        limit = order.type is OrderType.LIMIT
        if order.type is OrderType.STOP_LOSS:
            params["stopLossPrice"] = format(order.stop_price or order.price, "f")
        answer = await self._client.create_order(
            order.symbol,
            "limit" if limit else "market",
            order.side.value,
            format(order.quantity, "f"),
            format(order.price, "f") if limit else None,
            params,
        )
        return str(answer["id"])

    async def cancel(self, venue_id: str) -> None:
        """Cancel an order by the venue's ID."""
        order = await self._one(venue_id) if self._wants_symbol("fetchOrder") else None
        await self._client.cancel_order(venue_id, order.symbol if order else None)

    async def cancel_all(self) -> int:
        """Cancel all open orders of the account; return how many were open."""
        there = await self.open_orders()
        if not self._has(("cancelAllOrders",)):
            for order in there:
                await self._client.cancel_order(order.venue_id, order.symbol)
            return len(there)
        for symbol in self._scopes("cancelAllOrders"):
            await self._client.cancel_all_orders(symbol)
        return len(there)

    async def cancel_all_after(self, seconds: int) -> None:
        """Arm the venue's dead man's switch: cancel all orders after `seconds`; 0 disarms it.

        Raises:
            NotSupported: of ccxt; many venues have no such switch.
        """
        await self._client.cancel_all_orders_after(seconds * 1000)

    async def candles(self, symbol: str, *, timeframe: str, since: float) -> list[Candle]:
        """Return bars since a given time, oldest first; the last one may still be open."""
        bars = await self._client.fetch_ohlcv(symbol, timeframe, round(since * 1000) or None)
        return [
            Candle(
                opened_at=int(bar[0]) / 1000,
                open=decimal(bar[1]),
                high=decimal(bar[2]),
                low=decimal(bar[3]),
                close=decimal(bar[4]),
                volume=decimal(bar[5]),
            )
            for bar in bars
        ]

    async def _one(self, venue_id: str) -> VenueOrder | None:
        for symbol in self._scopes("fetchOrder"):
            try:
                return order_of(await self._client.fetch_order(venue_id, symbol))
            except Exception as error:
                # By name, to avoid importing ccxt.
                if type(error).__name__ not in {
                    "OrderNotFound",
                    "InvalidOrder",
                    "ArgumentsRequired",
                }:
                    raise
        return None

    def _has(self, methods: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in methods if self._client.has.get(name))

    def _scopes(self, method: str) -> tuple[str | None, ...]:
        """Return the symbol arguments for a method: None for all at once, or each symbol."""
        return self._symbols if self._wants_symbol(method) else (None,)

    def _wants_symbol(self, method: str) -> bool:
        known = (self._client.features or {}).get("spot") or {}
        return bool((known.get(method) or {}).get("symbolRequired"))

    def _step(self, precision: object) -> Decimal:
        if self._client.precisionMode == DECIMAL_PLACES:
            return Decimal(1).scaleb(-int(str(precision)))
        return decimal(precision)
