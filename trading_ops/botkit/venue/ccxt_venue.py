"""Any venue that ccxt knows, behind the seam: its unified methods only, and exact numbers.

It does for a hundred venues what `kraken` does for one, and a little less: ccxt's unified answers
leave out what Kraken's own tell, and each venue pages its history in its own way. Where an answer
may be cut off, that is said, and nothing is concluded from what is absent.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import aiohttp

from trading_ops.botkit.orders.market import Rules
from trading_ops.botkit.orders.order import Order, OrderType, VenueOrder
from trading_ops.botkit.venue.ccxt_history import Ask, CcxtCursor, Stretch
from trading_ops.botkit.venue.ccxt_values import (
    decimal,
    entry_of,
    order_of,
    snake,
    trade_of,
)
from trading_ops.botkit.venue.errors import VenueDown
from trading_ops.botkit.venue.port import (
    Balance,
    Candle,
    Cursor,
    HistoryPage,
    VenueTrade,
)

ENDED = ("fetchClosedOrders", "fetchCanceledOrders")
ENDED_TOO = ("fetchCanceledAndClosedOrders", "fetchOrders")
"""Methods that show orders which ended; the second ones where a venue has none of the first."""

DECIMAL_PLACES = 2
"""ccxt's number for precisions that count digits; others are steps."""


class CcxtVenue:
    """One asynchronous ccxt client, made and configured by the caller; spot markets only."""

    def __init__(self, client: Any, *, symbols: Sequence[str], page_size: int = 50) -> None:
        """Take the client; nothing is asked yet.

        Args:
            client: an instance of a class of `ccxt.async_support`, with its keys.
            symbols: asked about one by one where the venue wants a symbol.
            page_size: entries after which the venue cuts an answer off: one that is as long may not
                be all of it.
        """
        client.number = str  # ccxt's own floats would round what must be exact
        self._client = client
        self._symbols = tuple(symbols)
        self._page_size = page_size

    def use(self, session: aiohttp.ClientSession) -> None:
        """Make all further requests through this session."""
        self._client.session = session

    async def close(self) -> None:
        """End the client; a session that was given to it stays."""
        self._client.session = None
        await self._client.close()

    async def load_markets(self) -> None:
        """Load what is traded, and how."""
        await self._client.load_markets()

    def rules(self, symbol: str) -> Rules:
        """Return the rules of a symbol; markets must be loaded.

        Raises:
            KeyError: the venue does not trade it.
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
        """Return the venue's clock."""
        return float(await self._client.fetch_time()) / 1000

    async def balances(self) -> dict[str, Balance]:
        """Return what the account has, by currency."""
        answer = await self._client.fetch_balance()
        return {
            name: Balance(total=decimal(total), held=decimal(answer["used"].get(name)))
            for name, total in answer["total"].items()
            if total is not None
        }

    async def positions(self) -> dict[str, Decimal]:
        """Return nothing: on the spot market a position is a balance."""
        return {}

    async def open_orders(self) -> list[VenueOrder]:
        """Return all open orders of the account."""
        ask = self._client.fetch_open_orders
        asked = self._asked("fetchOpenOrders")
        return await self._exact([order_of(one) for symbol in asked for one in await ask(symbol)])

    async def orders(self, venue_ids: Sequence[str]) -> list[VenueOrder]:
        """Return these orders, whatever became of them; unknown ones are left out."""
        found = []
        for venue_id in venue_ids:
            order = await self._one(venue_id)
            if order is not None:
                found.append(order)
        return await self._exact(found)

    async def find(self, client_id: str) -> VenueOrder | None:
        """Return the order with this client id, open or not; None: the venue has none.

        Raises:
            VenueDown: the answer was cut off without it, or the venue does not show orders that
                ended, so that it may be there.
        """
        params, ended = {"clientOrderId": client_id}, self._has(ENDED) or self._has(ENDED_TOO)
        cut = not ended
        for name in (*self._has(("fetchOpenOrders",)), *ended):
            ask = getattr(self._client, snake(name))
            for symbol in self._asked(name):
                page = await ask(symbol, params=params)
                cut = cut or len(page) >= self._page_size
                for one in page:
                    if one.get("clientOrderId") == client_id:
                        return (await self._exact([order_of(one)]))[0]
        if cut:
            raise VenueDown(
                f"the venue does not tell all orders, and {client_id} may be among them"
            )
        return None

    async def history(self, since: float, cursor: Cursor) -> HistoryPage:
        """Return a page of the trades and other changes of balances since a moment."""
        lists = self._lists()
        at = cursor if isinstance(cursor, CcxtCursor) else await self._first(since)
        ask, asked = lists[at.which]
        page = await at.stretch.ask(ask, asked)
        kept = at.stretch.kept(page)
        stretch = at.stretch.after(page, page_size=self._page_size)
        following: CcxtCursor | None = replace(at, stretch=stretch)
        if stretch.over:
            begun = Stretch(begin=stretch.begin, end=stretch.end)
            following = replace(at, which=at.which + 1, stretch=begun)
            if following.which == len(lists):
                following = None
        ledger = ask == self._client.fetch_ledger
        if following is not None and lists[following.which][0] == self._client.fetch_ledger:
            following = replace(following, endpoint="Ledgers")
        # Without a ledger a deposit cannot be told from a loss.
        tells = following is not None or ledger
        return HistoryPage(
            trades=() if ledger else tuple(trade_of(one) for one in kept),
            ledger=tuple(entry_of(one) for one in kept if ledger and one["type"] != "trade"),
            complete=tells and (stretch.whole or not stretch.over),
            following=following,
        )

    def _lists(self) -> list[tuple[Ask, str | None]]:
        """Return what the history is in: the trades, of each symbol if need be, and the ledger."""
        trades = [(self._client.fetch_my_trades, one) for one in self._asked("fetchMyTrades")]
        has_ledger = self._client.has.get("fetchLedger")
        return [*trades, (self._client.fetch_ledger, None)] if has_ledger else trades

    async def _first(self, since: float) -> CcxtCursor:
        end = int(await self.server_time() * 1000) + 1000
        return CcxtCursor(which=0, stretch=Stretch(begin=max(1, int(since * 1000)), end=end))

    async def _trades(self, since: float) -> list[VenueTrade]:
        """Return the trades since a moment, over all pages, as far as the venue tells them."""
        trades: list[VenueTrade] = []
        first = (await self._first(since)).stretch
        for symbol in self._asked("fetchMyTrades"):
            stretch = first
            while not stretch.over:
                page = await stretch.ask(self._client.fetch_my_trades, symbol)
                trades += [trade_of(one) for one in stretch.kept(page)]
                stretch = stretch.after(page, page_size=self._page_size)
        return trades

    async def _exact(self, words: list[VenueOrder]) -> list[VenueOrder]:
        """Return orders with costs and fees of their trades: ccxt works an order's own out anew.

        Raises:
            VenueDown: the trades of an order are not all told (yet), so nothing is said of any.
        """
        filled = [word for word in words if word.filled]
        if not filled:
            return words
        since = min(word.opened_at for word in filled) - 1
        trades = await self._trades(since)
        exact = []
        for word in words:
            own = [trade for trade in trades if trade.venue_id == word.venue_id]
            if sum((trade.quantity for trade in own), Decimal(0)) != word.filled:
                raise VenueDown(f"the trades of order {word.venue_id} are not all told")
            cost = sum((trade.cost for trade in own), Decimal(0))
            fee = sum((trade.fee for trade in own), Decimal(0))
            exact.append(replace(word, cost=cost, fee=fee))
        return exact

    async def submit(self, order: Order) -> str:
        """Place an order; return the venue's id."""
        params: dict[str, str] = {"clientOrderId": order.client_id}
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
        """Cancel an order."""
        order = await self._one(venue_id) if self._wants_symbol("cancelOrder") else None
        await self._client.cancel_order(venue_id, order.symbol if order else None)

    async def cancel_all(self) -> int:
        """Cancel all open orders of the account; return how many there were."""
        there = await self.open_orders()
        for symbol in self._asked("cancelAllOrders"):
            await self._client.cancel_all_orders(symbol)
        return len(there)

    async def cancel_all_after(self, seconds: int) -> None:
        """Have everything cancelled after so many seconds unless told again; 0: never.

        Many venues have no such switch; ccxt's NotSupported says so.
        """
        await self._client.cancel_all_orders_after(seconds * 1000)

    async def candles(self, symbol: str, *, timeframe: str, since: float) -> list[Candle]:
        """Return bars, oldest first; the last one may still be open."""
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
        for symbol in self._asked("fetchOrder"):
            try:
                return order_of(await self._client.fetch_order(venue_id, symbol))
            except Exception as error:
                # By name, so that ccxt need not be imported to know it.
                if type(error).__name__ not in {
                    "OrderNotFound",
                    "InvalidOrder",
                    "ArgumentsRequired",
                }:
                    raise
        return None

    def _has(self, methods: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in methods if self._client.has.get(name))

    def _asked(self, method: str) -> tuple[str | None, ...]:
        """Return what to ask a method about: all at once, or each symbol where it wants one."""
        return self._symbols if self._wants_symbol(method) else (None,)

    def _wants_symbol(self, method: str) -> bool:
        known = (self._client.features or {}).get("spot") or {}
        return bool((known.get(method) or {}).get("symbolRequired"))

    def _step(self, precision: object) -> Decimal:
        if self._client.precisionMode == DECIMAL_PLACES:
            return Decimal(1).scaleb(-int(str(precision)))
        return decimal(precision)
