"""Sums the private feed's executions for each order: exact, or unknown.

Kraken sends each fill without the order's filled quantity and fees so far. The sums are known for
orders that this feed has seen before their first fill. For all others, and for any inconsistency,
query REST. A fill that is sent twice counts once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

import msgspec

ZERO = Decimal(0)

ENDS = frozenset({"filled", "canceled", "expired"})
"""Types of messages that end an order."""


class Fee(msgspec.Struct, frozen=True):
    """The fee of a fill."""

    asset: str
    qty: Decimal


class Execution(msgspec.Struct, frozen=True):
    """One message about an order; most fields are optional."""

    order_id: str
    exec_type: str
    cl_ord_id: str = ""
    exec_id: str = ""
    symbol: str = ""
    last_qty: Decimal | None = None
    cost: Decimal | None = None
    fees: list[Fee] = []
    cum_qty: Decimal | None = None
    cum_cost: Decimal | None = None
    reason: str = ""


@dataclass(frozen=True)
class Sums:
    """What is filled of an order so far: base, quote, and fees in quote."""

    filled: Decimal = ZERO
    cost: Decimal = ZERO
    fee: Decimal = ZERO


@dataclass
class _Track:
    sums: Sums = field(default_factory=Sums)
    seen: set[str] = field(default_factory=set)


class Executions:
    """Sums the fills of orders that were seen before their first fill."""

    def __init__(self) -> None:
        """Start without orders."""
        self._tracks: dict[str, _Track] = {}

    def begin(self, snapshot: Iterable[Execution]) -> None:
        """Restart from a snapshot, with the open orders that have no fill yet.

        A fill that is in the snapshot's sum may be sent again later, so the sum of a partly filled
        order is not reliable.
        """
        self._tracks = {order.order_id: _Track() for order in snapshot if order.cum_qty == 0}

    def sums(self, order_id: str) -> Sums | None:
        """Return what is filled of an order, None if it is unknown."""
        track = self._tracks.get(order_id)
        return None if track is None else track.sums

    def forget(self, order_id: str) -> None:
        """Stop summing this order: it is queried over REST from now on."""
        self._tracks.pop(order_id, None)

    def hear(self, message: Execution) -> Sums | None:
        """Apply a message; return what is filled of the order, None: query REST."""
        if message.exec_type == "pending_new" and message.cum_qty == 0:
            self._tracks.setdefault(message.order_id, _Track())
        track = self._tracks.get(message.order_id)
        if track is None:
            return None
        if message.exec_type == "trade":
            return self._add(track, message)
        if message.exec_type in ENDS:
            del self._tracks[message.order_id]
            fits = message.cum_qty == track.sums.filled and message.cum_cost == track.sums.cost
            return track.sums if fits else None
        return track.sums

    def _add(self, track: _Track, message: Execution) -> Sums | None:
        if message.exec_id in track.seen:
            return track.sums
        quote = message.symbol.partition("/")[2]
        known = message.exec_id and message.last_qty is not None and message.cost is not None
        if not known or any(fee.asset != quote for fee in message.fees):
            self.forget(message.order_id)
            return None
        track.seen.add(message.exec_id)
        track.sums = replace(
            track.sums,
            filled=track.sums.filled + (message.last_qty or ZERO),
            cost=track.sums.cost + (message.cost or ZERO),
            fee=track.sums.fee + sum((fee.qty for fee in message.fees), ZERO),
        )
        return track.sums
