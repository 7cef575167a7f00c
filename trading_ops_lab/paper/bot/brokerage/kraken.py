"""The venue adapter for Kraken through ccxt: what differs from botkit's adapter for any venue.

ccxt is imported with the first client and not before: it takes most of the bot's memory and start
time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trading_ops.botkit.orders.order import VenueOrder
from trading_ops.botkit.venue.adapter import (
    AccountHistoryPage,
    Balance,
    Cursor,
)
from trading_ops.botkit.venue.ccxt_venue import CcxtVenue
from trading_ops.redaction import known
from trading_ops_lab.paper.bot.brokerage.ccxt_kraken import kraken_class
from trading_ops_lab.paper.bot.brokerage.kraken_values import decimal, entry_of, order_of, trade_of

ORDERS_AT_ONCE = 50
"""The maximum in one answer of Kraken."""

LISTS = {"TradesHistory": "trades", "Ledgers": "ledger"}
"""The key of the entries in the answer."""

MOST_PAGES = 200
"""Of fifty entries each; a longer history is reported as incomplete."""


@dataclass(frozen=True, kw_only=True)
class KrakenCursor(Cursor):
    """A position in one of the two lists."""

    offset: int = 0
    page: int = 1
    end: str | None = None
    """The newest entry of the first page."""


class Kraken(CcxtVenue):
    """botkit's adapter, with Kraken's own answers where ccxt's unified ones are inexact or slower.

    Kraken's orders have their exact cost and fee, and its history has pages by offset.
    """

    def __init__(
        self,
        *,
        address: str,
        key: str,
        secret: str,
        timeout_seconds: float,
        issue_nonce: Callable[[], int],
    ) -> None:
        """Create the client without a request.

        Args:
            address: HOST:PORT of the venue.
            key: the API key.
            secret: the API secret, base64.
            timeout_seconds: of one request.
            issue_nonce: returns the next nonce.
        """
        url = f"http://{address}"
        client = kraken_class()(
            {
                "apiKey": key,
                "secret": secret,
                "timeout": round(timeout_seconds * 1000),
                # The paper venue needs no client-side rate limit; a real venue does.
                "enableRateLimit": False,
                "session": None,
            }
        )
        client.urls["api"] = {"public": url, "private": url}
        client.incrementing_nonce = issue_nonce
        super().__init__(client, symbols=())  # Kraken requires a symbol for no request

    async def close(self) -> None:
        """Close the client; the session belongs to the broker and stays open."""
        self._client.timeout_on_exit = 0
        await super().close()

    async def server_time(self) -> float:
        """Return the venue's time, accurate to half a second: it sends whole seconds."""
        return float(await self._client.fetch_time()) / 1000 + 0.5

    async def feed_token(self) -> str:
        """Return the token of the private feed; it expires after 15 minutes."""
        answer = await self._client.private_post_getwebsocketstoken()
        return known(str(answer["result"]["token"]))

    async def balances(self) -> dict[str, Balance]:
        """Return the account's balances by currency."""
        answer = await self._client.fetch_balance()
        raw: Mapping[str, Any] = answer["info"]["result"]
        return {
            self._currency(name): Balance(
                total=decimal(entry["balance"]), held=decimal(entry.get("hold_trade", "0"))
            )
            for name, entry in raw.items()
        }

    async def open_orders(self) -> list[VenueOrder]:
        """Return all open orders of the account."""
        return [order_of(entry) for entry in await self._client.fetch_open_orders()]

    async def orders(self, venue_ids: Sequence[str]) -> list[VenueOrder]:
        """Return these orders, open or closed; unknown ones are left out."""
        found: list[VenueOrder] = []
        for start in range(0, len(venue_ids), ORDERS_AT_ONCE):
            ids = list(venue_ids[start : start + ORDERS_AT_ONCE])
            found += [order_of(entry) for entry in await self._client.fetch_orders_by_ids(ids)]
        return found

    async def find(self, client_id: str) -> VenueOrder | None:
        """Return the order with this client id, open or not; None: the venue has none.

        Two requests: Kraken's QueryOrders takes no client ids. Open orders first, so that an order
        that ends in between is in the second answer.
        """
        params = {"clientOrderId": client_id}
        for ask in (self._client.fetch_open_orders, self._client.fetch_closed_orders):
            found = [order_of(entry) for entry in await ask(params=params)]
            for order in found:
                if order.client_id == client_id:
                    return order
        return None

    async def history(self, since: float, cursor: Cursor) -> AccountHistoryPage:
        """Return a page of the trades and other balance changes since a time.

        Offsets count from the newest entry, so a new entry between two pages shifts the rest. From
        the second page on, the newest entry of the first page is the end, which excludes new ones.
        """
        at = cursor if isinstance(cursor, KrakenCursor) else KrakenCursor()
        ask = getattr(self._client, f"private_post_{at.endpoint.lower()}")
        window = {"start": f"{since:.6f}", "ofs": str(at.offset)}
        answer = (await ask(window | ({"end": at.end} if at.end else {})))["result"]
        page: Mapping[str, dict[str, Any]] = answer[LISTS[at.endpoint]]
        offset, count = at.offset + len(page), int(answer["count"])
        following: KrakenCursor | None = None
        if page and offset < count and at.page < MOST_PAGES:
            end = at.end or max(page, key=lambda name: float(page[name]["time"]))
            following = replace(at, offset=offset, end=end, page=at.page + 1)
        elif at.endpoint == "TradesHistory":
            following = KrakenCursor(endpoint="Ledgers")
        left_out = offset < count and (following is None or following.endpoint != at.endpoint)
        trades = page if at.endpoint == "TradesHistory" else {}
        ledger = page if at.endpoint == "Ledgers" else {}
        return AccountHistoryPage(
            trades=tuple(trade_of(name, raw, self._symbol) for name, raw in trades.items()),
            ledger=tuple(
                entry_of(name, raw, self._currency)
                for name, raw in ledger.items()
                if raw["type"] != "trade"
            ),
            complete=not left_out,
            next_cursor=following,
        )

    async def cancel_all(self) -> int:
        """Cancel all open orders of the account; return how many there were."""
        answer = await self._client.private_post_cancelall()
        return int(answer["result"]["count"])

    def _symbol(self, pair: str) -> str:
        return str(self._client.safe_symbol(pair))

    def _currency(self, asset: str) -> str:
        return str(self._client.safe_currency_code(asset))
