"""Pre-trade checks: every intent must pass all of them before the order is recorded and sent.

A check is a plain function without I/O. Risk limits, recovery, leadership and the age of balances
are all checks, so there is one place that decides whether an order may be sent.

    checks = (deny_while("stopping", "the bot is stopping", lambda: stopping), large_enough)
    denial = first_denial(checks, intent)
    if denial is not None:
        metrics.order_denied(denial.code)
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from trading_ops.agent import Denial, OrderGate, Side
from trading_ops.botkit.orders.market import Quote, Rules
from trading_ops.botkit.orders.order import OrderType, Purpose


@dataclass(frozen=True, kw_only=True)
class Intent:
    """An order that the bot wants to send, and the state that the checks need.

    Quantities are in base currency and prices in quote currency.
    """

    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    """The limit price; for other types the market price at the decision."""

    quote: Quote
    rules: Rules
    position: Decimal
    """The position in the symbol now, in base currency."""

    committed: Decimal
    """The quantity of open orders of the same side that is not filled yet."""

    at: float
    """The current time, in seconds since the epoch."""

    type: OrderType = OrderType.LIMIT
    stop_price: Decimal | None = None
    purpose: Purpose = Purpose.STRATEGY
    dry: bool = False
    """Whether only to check the order: it is not sent now and not counted by the order rate."""

    ahead: int = 0
    """Orders that will be sent before this one and are not counted by the order rate yet: a stop
    was cancelled to make room for them."""

    @property
    def reduces_position(self) -> bool:
        """Return whether it can only reduce the position, even if all open orders are filled."""
        held = self.position if self.side is Side.SELL else -self.position
        return self.quantity + self.committed <= held


Check = Callable[[Intent], Denial | None]
"""Returns why an order must not be sent, or None if it may be."""


def first_denial(checks: Iterable[Check], intent: Intent) -> Denial | None:
    """Return the denial of the first check that denies the order; None if all allow it."""
    for check in checks:
        denial = check(intent)
        if denial is not None:
            return denial
    return None


def deny_while(code: str, detail: str, condition: Callable[[], bool]) -> Check:
    """Return a check that denies every order while a condition is true.

    Args:
        code: of the denial, as in metrics.
        detail: of the denial, for humans.
        condition: evaluated for each order.
    """
    denial = Denial(code=code, detail=detail)
    return lambda _intent: denial if condition() else None


def fresh_quote(stale_seconds: float) -> Check:
    """Return a check that denies orders based on a quote older than `stale_seconds`."""

    def check(intent: Intent) -> Denial | None:
        # A quote from the future was received before the clock was set back: its age is unknown.
        if abs(intent.at - intent.quote.at) <= stale_seconds:
            return None
        return Denial(code="market_data_stale", detail=f"the price is from {intent.quote.at:.0f}")

    return check


def large_enough(intent: Intent) -> Denial | None:
    """Deny an order below the venue's minimum quantity."""
    if intent.quantity >= intent.rules.minimum:
        return None
    return Denial(
        code="below_minimum_size",
        detail=f"{intent.quantity} is below the minimum {intent.rules.minimum}",
    )


def allowed_by_gate(gate: OrderGate) -> Check:
    """Return a check that applies the agent's trading state: halted, reduce-only or trading."""

    def check(intent: Intent) -> Denial | None:
        return gate.check(
            side=intent.side,
            quantity=intent.quantity,
            position=intent.position,
            committed=intent.committed,
        )

    return check
