"""Changes of orders and balances, queued until they are committed and may be sent."""

from typing import Literal

import msgspec

from trading_ops_lab.paper.venue.ledger import LedgerEntry
from trading_ops_lab.paper.venue.orders import Order, Trade

OrderEventKind = Literal["added", "trade", "filled", "canceled", "amended", "triggered"]


class OrderEvent(msgspec.Struct, frozen=True):
    """An order event; `order` is a copy of the order at that time."""

    kind: OrderEventKind
    order: Order
    time: float
    trade: Trade | None = None


class Outbox:
    """Events of the open transaction, in order."""

    def __init__(self) -> None:
        self._events: list[OrderEvent | LedgerEntry] = []

    def put_order(
        self, kind: OrderEventKind, order: Order, time: float, trade: Trade | None = None
    ) -> None:
        """Queue an order event."""
        self._events.append(OrderEvent(kind, msgspec.structs.replace(order), time, trade))

    def put_entry(self, entry: LedgerEntry) -> None:
        """Queue a ledger event."""
        self._events.append(entry)

    def take(self) -> list[OrderEvent | LedgerEntry]:
        """Return and clear the queued events."""
        events, self._events = self._events, []
        return events
