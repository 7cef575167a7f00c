"""Converts Kraken's answers to botkit's values."""

from collections.abc import Callable, Mapping
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

TYPES = {
    "limit": OrderType.LIMIT,
    "market": OrderType.MARKET,
    "stop-loss": OrderType.STOP_LOSS,
}

Raw = Mapping[str, Any]
Named = Callable[[str], str]
"""Converts a venue's name of a symbol or currency to the unified one."""


def order_of(entry: Raw) -> VenueOrder:
    """Return an order from ccxt's structure, with the exact numbers of the raw answer."""
    raw = entry["info"]
    kind = TYPES.get(raw["descr"]["ordertype"], OrderType.LIMIT)
    price = decimal(raw["descr"]["price"])  # for a stop, its trigger price
    return VenueOrder(
        venue_id=str(entry["id"]),
        client_id=entry.get("clientOrderId"),
        symbol=str(entry["symbol"]),
        side=Side(entry["side"]),
        price=price if kind is OrderType.LIMIT else Decimal(0),
        type=kind,
        stop_price=price if kind is OrderType.STOP_LOSS else None,
        quantity=decimal(raw["vol"]),
        status=STATUSES[entry["status"]],
        filled=decimal(raw["vol_exec"]),
        cost=decimal(raw["cost"]),
        fee=decimal(raw["fee"]),
        reason=str(raw.get("reason") or ""),
        opened_at=float(raw.get("opentm") or 0),
    )


def decimal(value: object) -> Decimal:
    """Return a number of an answer."""
    # ccxt gives floats for precisions; their shortest text is the exact value.
    return Decimal(str(value))


def trade_of(trade_id: str, raw: Raw, symbol: Named) -> VenueTrade:
    """Return an entry of TradesHistory."""
    return VenueTrade(
        trade_id=trade_id,
        venue_id=str(raw["ordertxid"]),
        client_id=raw.get("cl_ord_id"),
        symbol=symbol(raw["pair"]),
        side=Side(raw["type"]),
        quantity=decimal(raw["vol"]),
        cost=decimal(raw["cost"]),
        fee=decimal(raw["fee"]),
        at=float(raw["time"]),
    )


def entry_of(ledger_id: str, raw: Raw, currency: Named) -> LedgerEntry:
    """Return an entry of Ledgers."""
    return LedgerEntry(
        ledger_id=ledger_id,
        kind=str(raw["type"]),
        currency=currency(raw["asset"]),
        amount=decimal(raw["amount"]),
        fee=decimal(raw["fee"]),
        at=float(raw["time"]),
    )
