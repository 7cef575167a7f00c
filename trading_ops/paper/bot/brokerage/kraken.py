"""Kraken's REST dialect through ccxt: the requests the bot makes, in its own values.

ccxt is imported when the first client is made and not before: it is most of the bot's memory and of
the time it takes to start.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import aiohttp

from trading_ops.agent import Side
from trading_ops.paper.bot.brokerage.ccxt_kraken import kraken_class
from trading_ops.paper.bot.brokerage.port import Balance, Candle, History, LedgerEntry, VenueTrade
from trading_ops.paper.bot.trading.market import Rules
from trading_ops.paper.bot.trading.order import Order, OrderStatus, OrderType, VenueOrder
from trading_ops.redaction import known

STATUSES = {
    "open": OrderStatus.ACCEPTED,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELLED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}

TYPES = {
    "limit": OrderType.LIMIT,
    "market": OrderType.MARKET,
    "stop-loss": OrderType.STOP_LOSS,
}

PUBLIC = ("AssetPairs", "Time", "OHLC")
CALLS = ("BalanceEx", "OpenOrders", "QueryOrders", "OpenPositions", "GetWebSocketsToken")
HISTORY = ("ClosedOrders", "TradesHistory", "Ledgers")
COMMANDS = ("AddOrder", "CancelOrder", "CancelAll", "CancelAllOrdersAfter")
ENDPOINTS = (*PUBLIC, *CALLS, *HISTORY, *COMMANDS)
"""What the broker calls its requests, as metrics have them."""

ORDERS_AT_ONCE = 50
"""That Kraken tells of in one answer."""

MOST_PAGES = 200
"""Of fifty entries: beyond that the history is told to be cut off."""

Call = Callable[["Kraken"], Awaitable[Any]]


class Kraken:
    """One ccxt client; the HTTP session is the broker's and can be replaced."""

    def __init__(
        self,
        *,
        address: str,
        key: str,
        secret: str,
        timeout_seconds: float,
        issue_nonce: Callable[[], int],
    ) -> None:
        """Make the client; nothing is asked yet.

        Args:
            address: HOST:PORT of the venue.
            key: of the API.
            secret: of the API, base64.
            timeout_seconds: for one request.
            issue_nonce: returns the next nonce.
        """
        url = f"http://{address}"
        self._client = kraken_class()(
            {
                "apiKey": key,
                "secret": secret,
                "timeout": round(timeout_seconds * 1000),
                # The paper venue has no limits; on a real one this must be on.
                "enableRateLimit": False,
                "session": None,
            }
        )
        self._client.urls["api"] = {"public": url, "private": url}
        self._client.incrementing_nonce = issue_nonce

    def use(self, session: aiohttp.ClientSession) -> None:
        """Make all further requests through this session."""
        self._client.session = session

    async def close(self) -> None:
        """End the client; the session is not its own and stays."""
        self._client.session = None
        self._client.timeout_on_exit = 0
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
        return Rules(
            tick=_decimal(market["precision"]["price"]),
            lot=_decimal(market["precision"]["amount"]),
            minimum=_decimal(market["limits"]["amount"]["min"]),
        )

    async def server_time(self) -> float:
        """Return the venue's clock, to half a second: it tells whole ones."""
        return float(await self._client.fetch_time()) / 1000 + 0.5

    async def feed_token(self) -> str:
        """Return what opens the private feed; it must be used within a quarter of an hour."""
        answer = await self._client.private_post_getwebsocketstoken()
        return known(str(answer["result"]["token"]))

    async def balances(self) -> dict[str, Balance]:
        """Return what the account has, by currency."""
        answer = await self._client.fetch_balance()
        raw: Mapping[str, Any] = answer["info"]["result"]
        return {
            str(self._client.safe_currency_code(name)): Balance(
                total=_decimal(entry["balance"]), held=_decimal(entry.get("hold_trade", "0"))
            )
            for name, entry in raw.items()
        }

    async def positions(self) -> dict[str, Decimal]:
        """Return nothing: on the spot market a position is a balance."""
        return {}

    async def open_orders(self) -> list[VenueOrder]:
        """Return all open orders of the account."""
        return [_order(entry) for entry in await self._client.fetch_open_orders()]

    async def orders(self, venue_ids: Sequence[str]) -> list[VenueOrder]:
        """Return these orders, whatever became of them; unknown ones are left out."""
        found: list[VenueOrder] = []
        for start in range(0, len(venue_ids), ORDERS_AT_ONCE):
            ids = list(venue_ids[start : start + ORDERS_AT_ONCE])
            found += [_order(entry) for entry in await self._client.fetch_orders_by_ids(ids)]
        return found

    async def find(self, client_id: str) -> VenueOrder | None:
        """Return the order with this client id, open or not; None: the venue has none.

        Two requests: Kraken's QueryOrders takes no client ids. Open ones are asked for first, so
        that an order which ends in between is in the second answer.
        """
        params = {"clientOrderId": client_id}
        for ask in (self._client.fetch_open_orders, self._client.fetch_closed_orders):
            found = [_order(entry) for entry in await ask(params=params)]
            for order in found:
                if order.client_id == client_id:
                    return order
        return None

    async def history(self, since: float) -> History:
        """Return trades and other changes of balances since a moment, over all pages."""
        trades, whole = await self._pages("TradesHistory", "trades", since)
        ledger, whole_too = await self._pages("Ledgers", "ledger", since)
        return History(
            since=since,
            trades=tuple(self._trade(name, raw) for name, raw in trades.items()),
            ledger=tuple(
                self._entry(name, raw) for name, raw in ledger.items() if raw["type"] != "trade"
            ),
            complete=whole and whole_too,
        )

    async def _pages(
        self, endpoint: str, key: str, since: float
    ) -> tuple[dict[str, dict[str, Any]], bool]:
        """Return all entries of a paged answer, and whether they are all.

        Pages count from the newest entry, so that one that comes between two pages moves the rest.
        From the second page on the newest of the first is the end, and what comes later stays out.
        """
        ask = getattr(self._client, f"private_post_{endpoint.lower()}")
        found: dict[str, dict[str, Any]] = {}
        window, offset, count = {"start": f"{since:.6f}"}, 0, 1
        for _ in range(MOST_PAGES):
            answer = (await ask(window | {"ofs": str(offset)}))["result"]
            page: Mapping[str, dict[str, Any]] = answer[key]
            found.update(page)
            offset, count = offset + len(page), int(answer["count"])
            if not page or offset >= count:
                break
            window.setdefault("end", max(page, key=lambda name: float(page[name]["time"])))
        return found, len(found) >= count

    def _trade(self, name: str, raw: Mapping[str, Any]) -> VenueTrade:
        return VenueTrade(
            trade_id=name,
            venue_id=str(raw["ordertxid"]),
            client_id=raw.get("cl_ord_id"),
            symbol=str(self._client.safe_symbol(raw["pair"])),
            side=Side(raw["type"]),
            quantity=_decimal(raw["vol"]),
            cost=_decimal(raw["cost"]),
            fee=_decimal(raw["fee"]),
            at=float(raw["time"]),
        )

    def _entry(self, name: str, raw: Mapping[str, Any]) -> LedgerEntry:
        return LedgerEntry(
            ledger_id=name,
            kind=str(raw["type"]),
            currency=str(self._client.safe_currency_code(raw["asset"])),
            amount=_decimal(raw["amount"]),
            fee=_decimal(raw["fee"]),
            at=float(raw["time"]),
        )

    async def submit(self, order: Order) -> str:
        """Place an order; return the venue's id."""
        params: dict[str, str] = {"clientOrderId": order.client_id}
        if order.type is OrderType.STOP_LOSS:
            params["stopLossPrice"] = format(order.stop_price or order.price, "f")
        answer = await self._client.create_order(
            order.symbol,
            "limit" if order.type is OrderType.LIMIT else "market",
            order.side.value,
            format(order.quantity, "f"),
            format(order.price, "f") if order.type is OrderType.LIMIT else None,
            params,
        )
        return str(answer["id"])

    async def cancel(self, venue_id: str) -> None:
        """Cancel an order."""
        await self._client.cancel_order(venue_id)

    async def cancel_all(self) -> int:
        """Cancel all open orders of the account; return how many there were."""
        answer = await self._client.private_post_cancelall()
        return int(answer["result"]["count"])

    async def candles(self, symbol: str, *, timeframe: str, since: float) -> list[Candle]:
        """Return bars, oldest first; the last one may still be open."""
        # Without a moment the venue tells the latest; moments before the first second are none.
        bars = await self._client.fetch_ohlcv(symbol, timeframe, round(since * 1000) or None)
        return [
            Candle(
                opened_at=bar[0] / 1000,
                open=_decimal(bar[1]),
                high=_decimal(bar[2]),
                low=_decimal(bar[3]),
                close=_decimal(bar[4]),
                volume=_decimal(bar[5]),
            )
            for bar in bars
        ]

    async def cancel_all_after(self, seconds: int) -> None:
        """Have everything cancelled after so many seconds unless told again; 0: never."""
        await self._client.cancel_all_orders_after(seconds * 1000)


def _order(entry: Mapping[str, Any]) -> VenueOrder:
    raw = entry["info"]
    kind = TYPES.get(raw["descr"]["ordertype"], OrderType.LIMIT)
    price = _decimal(raw["descr"]["price"])  # of a stop, the price that wakes it
    return VenueOrder(
        venue_id=str(entry["id"]),
        client_id=entry.get("clientOrderId"),
        symbol=str(entry["symbol"]),
        side=Side(entry["side"]),
        price=price if kind is OrderType.LIMIT else Decimal(0),
        type=kind,
        stop_price=price if kind is OrderType.STOP_LOSS else None,
        quantity=_decimal(raw["vol"]),
        status=STATUSES[entry["status"]],
        filled=_decimal(raw["vol_exec"]),
        cost=_decimal(raw["cost"]),
        fee=_decimal(raw["fee"]),
        reason=str(raw.get("reason") or ""),
        opened_at=float(raw.get("opentm") or 0),
    )


def _decimal(value: object) -> Decimal:
    # ccxt gives floats for precisions; their shortest text is what was meant.
    return Decimal(str(value))
