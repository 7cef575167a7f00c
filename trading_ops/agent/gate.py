"""The order gate: the last check before an order leaves the bot."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from trading_ops.agent.state import TradingState


class Side(StrEnum):
    """Side of an order."""

    BUY = "buy"
    SELL = "sell"


@dataclass(frozen=True, kw_only=True)
class Denial:
    """Why an order was denied."""

    code: str
    """Stable, for metrics and logs."""

    detail: str


class OrderGate:
    """Checks each order against the trading state, without waiting and without I/O.

    Cancels and queries do not pass here: they are always allowed.
    """

    def __init__(
        self,
        state: Callable[[], TradingState],
        awaiting_holds: Callable[[], bool] = lambda: False,
    ) -> None:
        self._state = state
        self._awaiting_holds = awaiting_holds

    def check(
        self,
        *,
        side: Side,
        quantity: Decimal,
        position: Decimal,
        committed: Decimal = Decimal(0),
    ) -> Denial | None:
        """Return why this order must not be submitted, or None.

        Args:
            side: of the order.
            quantity: of the order, above zero, in base units.
            position: held now, in base units; negative when short.
            committed: quantity of open orders of the same side, which may still change the
                position.
        """
        state = self._state()
        if state is TradingState.HALTED:
            return Denial(code="trading_halted", detail="the bot is halted")
        if self._awaiting_holds():
            return Denial(
                code="awaiting_holds", detail="the reconciler has not confirmed the holds yet"
            )
        if state is TradingState.ACTIVE:
            return None
        shrinking = position if side is Side.SELL else -position
        if quantity + committed <= shrinking:
            return None
        return Denial(
            code="trading_reducing",
            detail=f"only orders that shrink the position of {position} pass",
        )
