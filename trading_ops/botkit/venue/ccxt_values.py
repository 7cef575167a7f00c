"""Converts ccxt's unified structures to the value types of `venue.adapter`."""

import re
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from trading_ops.agent import Side
from trading_ops.botkit.orders.order import OrderStatus, OrderType, VenueOrder
from trading_ops.botkit.venue.adapter import LedgerEntry, VenueTrade

STATUSES = {
    "open": OrderStatus.ACCEPTED,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELLED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
}


HEX_DIGITS = 32
"""Of a UUID without hyphens."""


def compact(client_id: str) -> str:
    """Return a client ID without hyphens, for venues that allow letters and digits only."""
    return client_id.replace("-", "")


def hyphenated(client_id: str | None) -> str | None:
    """Return the UUID that `compact` was given; other IDs are not changed."""
    if client_id is None or not re.fullmatch(f"[0-9a-f]{{{HEX_DIGITS}}}", client_id):
        return client_id
    return str(uuid.UUID(client_id))


def order_of(entry: Mapping[str, Any]) -> VenueOrder:
    """Convert an order structure."""
    stop = entry.get("stopLossPrice") or entry.get("triggerPrice")
    kind = OrderType.MARKET if entry["type"] == "market" else OrderType.LIMIT
    return VenueOrder(
        venue_id=str(entry["id"]),
        client_id=hyphenated(entry.get("clientOrderId")),
        symbol=str(entry["symbol"]),
        side=Side(entry["side"]),
        price=decimal(entry["price"]) if kind is OrderType.LIMIT and not stop else Decimal(0),
        quantity=decimal(entry["amount"]),
        status=STATUSES[entry["status"]],
        filled=decimal(entry["filled"]),
        cost=decimal(entry["cost"]),
        fee=decimal((entry.get("fee") or {}).get("cost")),
        type=OrderType.STOP_LOSS if stop else kind,
        stop_price=decimal(stop) if stop else None,
        opened_at=float(entry["timestamp"] or 0) / 1000,
    )


def trade_of(entry: Mapping[str, Any]) -> VenueTrade:
    """Convert a trade structure of the account.

    A fee in base currency is part of the quantity: less for a purchase, more for a sale.
    """
    fee = entry.get("fee") or {}
    in_base = fee.get("currency") == str(entry["symbol"]).partition("/")[0]
    paid = decimal(fee.get("cost"))
    in_quantity = (-paid if entry["side"] == "buy" else paid) if in_base else Decimal(0)
    return VenueTrade(
        trade_id=str(entry["id"]),
        venue_id=str(entry["order"]),
        client_id=None,  # not part of ccxt's trade structure
        symbol=str(entry["symbol"]),
        side=Side(entry["side"]),
        quantity=decimal(entry["amount"]) + in_quantity,
        cost=decimal(entry["cost"]),
        fee=Decimal(0) if in_base else paid,
        at=float(entry["timestamp"]) / 1000,
    )


def entry_of(entry: Mapping[str, Any]) -> LedgerEntry:
    """Convert a ledger entry."""
    amount = decimal(entry["amount"])
    return LedgerEntry(
        ledger_id=str(entry["id"]),
        kind=str(entry["type"]),
        currency=str(entry["currency"]),
        amount=-amount if entry["direction"] == "out" else amount,
        fee=decimal((entry.get("fee") or {}).get("cost")),
        at=float(entry["timestamp"]) / 1000,
    )


def decimal(value: object) -> Decimal:
    """Convert a number exactly; None becomes 0."""
    return Decimal(0) if value is None else Decimal(str(value))


def snake(name: str) -> str:
    """Return the Python name of a ccxt method: `fetchOrders` becomes `fetch_orders`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
