"""Orders, fills and positions, as values. Quantities in base, prices and costs in quote."""

import hashlib
import uuid
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from trading_ops.agent import Side

ZERO = Decimal(0)
PREFIX_LENGTH = 8


class OrderStatus(StrEnum):
    """How far an order has come."""

    SENT = "sent"
    """Written down before it was sent; whether the venue has it is unknown."""

    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def alive(self) -> bool:
        """Say whether it may still be filled."""
        return self in {OrderStatus.SENT, OrderStatus.OPEN}


@dataclass(frozen=True, kw_only=True)
class Order:
    """One order of the bot."""

    client_id: str
    """The bot's own id, known before the venue's."""

    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    created_at: float
    """Seconds since the epoch."""

    venue_id: str | None = None
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    """What was paid or got for the filled part, without fees."""

    fee: Decimal = ZERO
    status: OrderStatus = OrderStatus.SENT

    @property
    def remaining(self) -> Decimal:
        """Return what is not filled."""
        return self.quantity - self.filled


@dataclass(frozen=True, kw_only=True)
class VenueOrder:
    """The venue's word on an order."""

    venue_id: str
    client_id: str | None
    status: OrderStatus
    filled: Decimal
    cost: Decimal
    fee: Decimal


@dataclass(frozen=True, kw_only=True)
class Fill:
    """What was newly filled of an order."""

    client_id: str
    quantity: Decimal
    cost: Decimal
    fee: Decimal


@dataclass(frozen=True, kw_only=True)
class Position:
    """What the bot holds of one symbol; never below zero."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    """What was paid for it, fees included."""

    realized: Decimal = ZERO
    """Profit of what was sold, after fees."""

    def after(self, side: Side, fill: Fill) -> "Position":
        """Return the position after a fill."""
        if side is Side.BUY:
            return replace(
                self, quantity=self.quantity + fill.quantity, cost=self.cost + fill.cost + fill.fee
            )
        # More than is held can only be sold when records were lost; the rest then cost nothing.
        sold = min(fill.quantity, self.quantity)
        paid = self.cost * sold / self.quantity if self.quantity else ZERO
        return Position(
            quantity=self.quantity - sold,
            cost=self.cost - paid,
            realized=self.realized + fill.cost - fill.fee - paid,
        )

    def unrealized(self, price: Decimal) -> Decimal:
        """Return the profit that selling all at this price would bring, before fees."""
        return self.quantity * price - self.cost


def own_prefix(bot: str) -> str:
    """Return what the client ids of a bot's orders begin with."""
    return hashlib.sha256(bot.encode()).hexdigest()[:PREFIX_LENGTH]


def new_client_id(bot: str) -> str:
    """Return an id for a new order: a UUID, as Kraken wants it, that shows whose it is."""
    return own_prefix(bot) + str(uuid.uuid4())[PREFIX_LENGTH:]


def progress(order: Order, word: VenueOrder) -> tuple[Order, Fill | None]:
    """Return an order as the venue tells it, and what was newly filled."""
    after = replace(
        order,
        venue_id=word.venue_id,
        status=word.status,
        filled=word.filled,
        cost=word.cost,
        fee=word.fee,
    )
    if word.filled <= order.filled:
        return after, None
    return after, Fill(
        client_id=order.client_id,
        quantity=word.filled - order.filled,
        cost=word.cost - order.cost,
        fee=word.fee - order.fee,
    )
