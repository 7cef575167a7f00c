"""What the private feed's executions add up to, for each order: pure, exact, or not at all.

Kraken tells each fill by itself, without how much of the order is filled by now and without the
fees so far. The sums are known of orders that this feed has seen from nothing on; of all others,
and wherever something does not fit, REST has to be asked. A fill that is told twice counts once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

import msgspec

ZERO = Decimal(0)

ENDS = frozenset({"filled", "canceled", "expired"})
"""Kinds after which nothing more becomes of an order."""


class Fee(msgspec.Struct, frozen=True):
    """What a fill cost."""

    asset: str
    qty: Decimal


class Execution(msgspec.Struct, frozen=True):
    """One message on one order; brief ones leave most of it out."""

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
    """What is filled of an order by now: base, quote, and fees in quote."""

    filled: Decimal = ZERO
    cost: Decimal = ZERO
    fee: Decimal = ZERO


@dataclass
class _Track:
    sums: Sums = field(default_factory=Sums)
    seen: set[str] = field(default_factory=set)


class Executions:
    """Adds up the fills of the orders that were seen from nothing on."""

    def __init__(self) -> None:
        """Begin with no orders."""
        self._tracks: dict[str, _Track] = {}

    def begin(self, snapshot: Iterable[Execution]) -> None:
        """Forget what was heard, and take up the open orders of which nothing is filled.

        A fill that is already in the snapshot's sum may be told of later, so that of an order that
        is partly filled no sum is safe.
        """
        self._tracks = {one.order_id: _Track() for one in snapshot if one.cum_qty == 0}

    def sums(self, order_id: str) -> Sums | None:
        """Return what is filled of an order, None when it is not known here."""
        track = self._tracks.get(order_id)
        return None if track is None else track.sums

    def forget(self, order_id: str) -> None:
        """Do not add up this order any more: REST is asked from now on."""
        self._tracks.pop(order_id, None)

    def hear(self, told: Execution) -> Sums | None:
        """Return what is filled of the order with this message; None: REST has to be asked."""
        if told.exec_type == "pending_new" and told.cum_qty == 0:
            self._tracks.setdefault(told.order_id, _Track())
        track = self._tracks.get(told.order_id)
        if track is None:
            return None
        if told.exec_type == "trade":
            return self._add(track, told)
        if told.exec_type in ENDS:
            del self._tracks[told.order_id]
            fits = told.cum_qty == track.sums.filled and told.cum_cost == track.sums.cost
            return track.sums if fits else None
        return track.sums

    def _add(self, track: _Track, told: Execution) -> Sums | None:
        if told.exec_id in track.seen:
            return track.sums
        quote = told.symbol.partition("/")[2]
        known = told.exec_id and told.last_qty is not None and told.cost is not None
        if not known or any(fee.asset != quote for fee in told.fees):
            self.forget(told.order_id)
            return None
        track.seen.add(told.exec_id)
        track.sums = replace(
            track.sums,
            filled=track.sums.filled + (told.last_qty or ZERO),
            cost=track.sums.cost + (told.cost or ZERO),
            fee=track.sums.fee + sum((fee.qty for fee in told.fees), ZERO),
        )
        return track.sums
