"""What an order must pass before it is written down; the first refusal counts.

Each check is a plain function without I/O and without waiting. Whatever guards orders (risk,
recovery, leadership, the age of balances) adds a check; there is no other way to the venue.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from trading_ops.agent import Denial, OrderGate, Side
from trading_ops.botkit.orders.market import Quote, Rules
from trading_ops.botkit.orders.order import OrderType, Purpose


@dataclass(frozen=True, kw_only=True)
class Intent:
    """An order that is meant to be sent."""

    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    """The limit; of other types the price that it is decided at."""

    quote: Quote
    rules: Rules
    position: Decimal
    """Held now, in base units."""

    committed: Decimal
    """What open orders of the same side may still add to or take from it."""

    at: float
    """Now, seconds since the epoch."""

    type: OrderType = OrderType.LIMIT
    stop_price: Decimal | None = None
    purpose: Purpose = Purpose.STRATEGY
    dry: bool = False
    """Only asked whether it would be let through now: it is sent later, and counted then."""

    ahead: int = 0
    """Orders for which a stop has made way, and that are not sent yet."""

    @property
    def shrinks(self) -> bool:
        """Say whether it can only bring the position nearer to nothing."""
        held = self.position if self.side is Side.SELL else -self.position
        return self.quantity + self.committed <= held


Check = Callable[[Intent], Denial | None]


def first_denial(checks: Iterable[Check], intent: Intent) -> Denial | None:
    """Return why an order must not be sent, or None."""
    for check in checks:
        denial = check(intent)
        if denial is not None:
            return denial
    return None


def not_while(code: str, detail: str, holds: Callable[[], bool]) -> Check:
    """Deny every order while something holds."""
    denial = Denial(code=code, detail=detail)
    return lambda _intent: denial if holds() else None


def fresh_quote(stale_seconds: float) -> Check:
    """Deny orders on a price that is too old."""

    def check(intent: Intent) -> Denial | None:
        # One from the future is of before a clock that was set back: it may be of any age.
        if abs(intent.at - intent.quote.at) <= stale_seconds:
            return None
        return Denial(code="market_data_stale", detail=f"the price is from {intent.quote.at:.0f}")

    return check


def large_enough(intent: Intent) -> Denial | None:
    """Deny what the venue would refuse as too small."""
    if intent.quantity >= intent.rules.minimum:
        return None
    return Denial(code="below_minimum_size", detail=f"{intent.quantity} is too little")


def let_through(gate: OrderGate) -> Check:
    """Ask the gate, which knows the trading state."""

    def check(intent: Intent) -> Denial | None:
        return gate.check(
            side=intent.side,
            quantity=intent.quantity,
            position=intent.position,
            committed=intent.committed,
        )

    return check
