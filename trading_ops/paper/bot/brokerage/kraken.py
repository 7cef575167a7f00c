"""Kraken's REST dialect through ccxt: the requests the bot makes, in its own values.

ccxt is imported when the first client is made and not before: it is most of the bot's memory and of
the time it takes to start.
"""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import aiohttp

from trading_ops.agent import Side
from trading_ops.paper.bot.brokerage.ccxt_kraken import kraken_class
from trading_ops.paper.bot.trading.market import Rules
from trading_ops.paper.bot.trading.order import Order, OrderStatus, VenueOrder

STATUSES = {
    "open": OrderStatus.ACCEPTED,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELLED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}

ENDPOINTS = (
    "AssetPairs",
    "BalanceEx",
    "OpenOrders",
    "QueryOrders",
    "ClosedOrders",
    "AddOrder",
    "CancelOrder",
    "CancelAllOrdersAfter",
)

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

    async def balances(self) -> dict[str, Decimal]:
        """Return what the account owns, by currency."""
        answer = await self._client.fetch_balance()
        raw: Mapping[str, Any] = answer["info"]["result"]
        return {
            str(self._client.safe_currency_code(name)): _decimal(entry["balance"])
            for name, entry in raw.items()
        }

    async def open_orders(self) -> list[VenueOrder]:
        """Return all open orders of the account."""
        return [_order(entry) for entry in await self._client.fetch_open_orders()]

    async def orders(self, venue_ids: list[str]) -> list[VenueOrder]:
        """Return these orders, whatever became of them."""
        return [_order(entry) for entry in await self._client.fetch_orders_by_ids(venue_ids)]

    async def closed_order(self, client_id: str) -> VenueOrder | None:
        """Return the order with this client id if it is no longer open."""
        found = await self._client.fetch_closed_orders(params={"clientOrderId": client_id})
        orders = [_order(entry) for entry in found]
        return next((order for order in orders if order.client_id == client_id), None)

    async def submit(self, order: Order) -> str:
        """Place a limit order; return the venue's id."""
        answer = await self._client.create_order(
            order.symbol,
            "limit",
            order.side.value,
            format(order.quantity, "f"),
            format(order.price, "f"),
            {"clientOrderId": order.client_id},
        )
        return str(answer["id"])

    async def cancel(self, venue_id: str) -> None:
        """Cancel an order."""
        await self._client.cancel_order(venue_id)

    async def cancel_all_after(self, seconds: int) -> None:
        """Have everything cancelled after so many seconds unless told again; 0: never."""
        await self._client.cancel_all_orders_after(seconds * 1000)


def _order(entry: Mapping[str, Any]) -> VenueOrder:
    raw = entry["info"]
    return VenueOrder(
        venue_id=str(entry["id"]),
        client_id=entry.get("clientOrderId"),
        symbol=str(entry["symbol"]),
        side=Side(entry["side"]),
        price=_decimal(raw["descr"]["price"]),
        quantity=_decimal(raw["vol"]),
        status=STATUSES[entry["status"]],
        filled=_decimal(raw["vol_exec"]),
        cost=_decimal(raw["cost"]),
        fee=_decimal(raw["fee"]),
    )


def _decimal(value: object) -> Decimal:
    # ccxt gives floats for precisions; their shortest text is what was meant.
    return Decimal(str(value))
