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
    """How far an order has come, in the field's words."""

    SUBMITTED = "submitted"
    """Written down before it was sent; whether the venue has it is unknown."""

    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    """The venue said no, or never had it."""

    DENIED = "denied"
    """The bot itself said no; it was never sent."""

    @property
    def alive(self) -> bool:
        """Say whether it may still be filled; the others are the ends, and no order leaves them."""
        return self in ALIVE


ALIVE = frozenset({OrderStatus.SUBMITTED, OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED})


class OrderType(StrEnum):
    """What fills an order."""

    LIMIT = "limit"
    MARKET = "market"
    STOP_LOSS = "stop_loss"
    """A market order once the last price has passed the stop price."""


class Purpose(StrEnum):
    """Why there is an order."""

    STRATEGY = "strategy"
    PROTECTION = "protection"
    """Ends a position when the price goes the wrong way."""

    FLATTEN = "flatten"
    ADOPTED = "adopted"
    """It was found at the venue and was not in the records."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One order of the bot."""

    client_id: str
    """The bot's own id, known before the venue's."""

    symbol: str
    side: Side
    price: Decimal
    """The limit; of other types the price that it was decided at."""

    quantity: Decimal
    created_at: float
    """Seconds since the epoch."""

    type: OrderType = OrderType.LIMIT
    stop_price: Decimal | None = None
    purpose: Purpose = Purpose.STRATEGY
    venue_id: str | None = None
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    """What was paid or got for the filled part, without fees."""

    fee: Decimal = ZERO
    status: OrderStatus = OrderStatus.SUBMITTED
    reason: str = ""
    """Why it ended as it did, where there is more to say than the status."""

    ended_at: float | None = None

    @property
    def remaining(self) -> Decimal:
        """Return what is not filled."""
        return self.quantity - self.filled


@dataclass(frozen=True, kw_only=True)
class VenueOrder:
    """The venue's word on an order."""

    venue_id: str
    client_id: str | None
    symbol: str
    side: Side
    price: Decimal
    """The limit, or zero where there is none."""

    quantity: Decimal
    status: OrderStatus
    filled: Decimal
    cost: Decimal
    fee: Decimal
    type: OrderType = OrderType.LIMIT
    stop_price: Decimal | None = None
    reason: str = ""
    opened_at: float = 0.0
    """Seconds since the epoch; 0 when the venue does not say."""


@dataclass(frozen=True, kw_only=True)
class Fill:
    """What was newly filled of an order."""

    client_id: str
    quantity: Decimal
    upto: Decimal
    """Filled of the order with this fill: two fills of an order never have the same."""

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
    """Return an order as the venue tells it, and what was newly filled.

    A word that is older than what is known, as one that overtook another, changes nothing. An order
    that ended stays ended, but a fill that is reported late still counts.
    """
    if word.filled < order.filled:
        return order, None
    after = replace(order, filled=word.filled, cost=word.cost, fee=word.fee)
    if order.status.alive:
        after = replace(
            after,
            venue_id=word.venue_id,
            status=_status(word),
            reason=word.reason or order.reason,
        )
    elif word.filled == order.filled:
        return order, None
    if word.filled == order.filled:
        return after, None
    return after, Fill(
        client_id=order.client_id,
        quantity=word.filled - order.filled,
        upto=word.filled,
        cost=word.cost - order.cost,
        fee=word.fee - order.fee,
    )


def _status(word: VenueOrder) -> OrderStatus:
    if word.status is OrderStatus.ACCEPTED and word.filled > 0:
        return OrderStatus.PARTIALLY_FILLED
    return word.status


def adopted(word: VenueOrder, client_id: str, at: float) -> Order:
    """Return an order that was found at the venue, as if nothing of it were known yet.

    The venue's word is then heard as of any order, so that its fills are counted.
    """
    return Order(
        client_id=client_id,
        symbol=word.symbol,
        side=word.side,
        price=word.price,
        quantity=word.quantity,
        created_at=word.opened_at or at,
        type=word.type,
        stop_price=word.stop_price,
        purpose=Purpose.ADOPTED,
        venue_id=word.venue_id,
        status=OrderStatus.ACCEPTED,
    )
