"""Rate limits like Kraken's: calls per key, orders per account and pair.

A counter increases with each call and decays over time. REST calls have one counter per key.
Orders have one per account and pair, shared by REST and WebSocket; amending or cancelling a young
order costs more.
"""

from typing import Final

import msgspec

from trading_ops_lab.paper.venue import faults
from trading_ops_lab.paper.venue.errors import VenueRefusal


class Allowance(msgspec.Struct, frozen=True):
    """Limits of a tier; decays are per second."""

    calls: float
    call_decay: float
    orders: float
    order_decay: float
    open_orders: int


TIERS: Final[dict[faults.Tier, Allowance]] = {
    "starter": Allowance(15, 0.33, 60, 1.0, 60),
    "intermediate": Allowance(20, 0.5, 125, 2.34, 80),
    "pro": Allowance(20, 1.0, 180, 3.75, 225),
    # Not Kraken's: for bots with the shipped intervals, which send more requests than any tier
    # allows.
    "paper": Allowance(40, 3.0, 180, 3.75, 225),
}

FREE_OF_CALLS: Final = frozenset({"AddOrder", "AmendOrder", "CancelOrder", "CancelOrderBatch"})
"""Methods that use the order counter instead."""

HISTORY: Final = frozenset({"TradesHistory", "Ledgers"})
HISTORY_COST: Final = 2

AMEND_COST: Final = ((5.0, 3), (10.0, 2), (15.0, 1))
CANCEL_COST: Final = ((5.0, 8), (10.0, 6), (15.0, 5), (45.0, 4), (90.0, 2), (300.0, 1))
"""Cost by maximum age in seconds."""


class Counter:
    """Increases by costs, decays over time, never below zero."""

    def __init__(self) -> None:
        self._value = 0.0
        self._at = 0.0

    def add(self, cost: float, now: float, decay: float) -> float:
        """Add a cost at an epoch time; return the new count."""
        self._value = max(0.0, self._value - decay * max(0.0, now - self._at)) + cost
        self._at = now
        return self._value


class Limits:
    """All counters; a restart of the process resets them."""

    def __init__(self, board: faults.FaultBoard, tier: faults.Tier | None) -> None:
        """Enforce a tier, or none; a fault can enforce another one."""
        self._board, self._tier = board, tier
        self._calls: dict[str, Counter] = {}
        self._orders: dict[tuple[str, str], Counter] = {}

    def call(self, caller: faults.Caller, now: float) -> None:
        """Count one REST call.

        Raises:
            VenueRefusal: too many calls of this key.
        """
        allowed = self._allowed(caller)
        if allowed is None or caller.method in FREE_OF_CALLS:
            return
        cost = HISTORY_COST if caller.method in HISTORY else 1
        counter = self._calls.setdefault(caller.key, Counter())
        if counter.add(cost, now, allowed.call_decay) > allowed.calls:
            raise VenueRefusal("EAPI:Rate limit exceeded")

    def add(self, caller: faults.Caller, pair: str, open_orders: int, now: float) -> None:
        """Count a new order.

        Raises:
            VenueRefusal: too many orders, or too many open ones.
        """
        allowed = self._allowed(caller)
        if allowed is None:
            return
        self._count(caller, pair, 1, now, allowed)
        if open_orders >= allowed.open_orders:
            raise VenueRefusal("EOrder:Orders limit exceeded")

    def amend(self, caller: faults.Caller, pair: str, age: float, now: float) -> None:
        """Count an amendment of an order of this age in seconds.

        Raises:
            VenueRefusal: too many amendments.
        """
        if (allowed := self._allowed(caller)) is not None:
            self._count(caller, pair, 1 + _cost(AMEND_COST, age), now, allowed)

    def cancel(self, caller: faults.Caller, pair: str, age: float, now: float) -> None:
        """Count a cancel; it is never rejected, but counts against new orders."""
        allowed = self._allowed(caller)
        if allowed is not None:
            counter = self._orders.setdefault((caller.account, pair), Counter())
            counter.add(_cost(CANCEL_COST, age), now, allowed.order_decay)

    def _count(
        self, caller: faults.Caller, pair: str, cost: int, now: float, allowed: Allowance
    ) -> None:
        counter = self._orders.setdefault((caller.account, pair), Counter())
        if counter.add(cost, now, allowed.order_decay) > allowed.orders:
            raise VenueRefusal("EOrder:Rate limit exceeded")

    def _allowed(self, caller: faults.Caller) -> Allowance | None:
        if caller.border == faults.HAND:
            return None
        fault = self._board.find("rate_limit", caller)
        tier = self._tier if fault is None else fault.tier
        return None if tier is None else TIERS[tier]


def _cost(table: tuple[tuple[float, int], ...], age: float) -> int:
    return next((cost for limit, cost in table if age < limit), 0)
