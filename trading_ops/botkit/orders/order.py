"""Orders, fills and positions as immutable values.

Quantities are in base currency; prices, costs and fees are in quote currency; times are in seconds
since the epoch.

    order = Order(client_id=new_client_id("mybot"), symbol="BTC/USD", side=Side.BUY, ...)
    order, fill = apply_report(order, report)
    if fill is not None:
        position = position.after(order.side, fill)
"""

import hashlib
import uuid
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from trading_ops.agent import Side

ZERO = Decimal(0)
PREFIX_LENGTH = 8


class OrderStatus(StrEnum):
    """The state of an order."""

    SUBMITTED = "submitted"
    """Recorded before it is sent; the venue has not acknowledged it."""

    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    """The venue rejected it, or never received it."""

    DENIED = "denied"
    """A check of the bot denied it; it was never sent."""

    @property
    def is_open(self) -> bool:
        """Return whether the order may still be filled; every other status is final."""
        return self in OPEN_STATUSES


OPEN_STATUSES = frozenset(
    {OrderStatus.SUBMITTED, OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED}
)


class OrderType(StrEnum):
    """The type of an order."""

    LIMIT = "limit"
    MARKET = "market"
    STOP_LOSS = "stop_loss"
    """A market order once the last price has passed the stop price."""


class Purpose(StrEnum):
    """Why an order was placed."""

    STRATEGY = "strategy"
    PROTECTION = "protection"
    """A stop that closes a position at a loss limit."""

    FLATTEN = "flatten"
    """Closes a position on command."""

    ADOPTED = "adopted"
    """An order of the bot that was found at the venue and was missing in the records."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One order of the bot."""

    client_id: str
    """Assigned by the bot before it sends the order; see `new_client_id`."""

    symbol: str
    side: Side
    price: Decimal
    """The limit price; for other types the market price at the decision."""

    quantity: Decimal
    created_at: float
    type: OrderType = OrderType.LIMIT
    stop_price: Decimal | None = None
    purpose: Purpose = Purpose.STRATEGY
    venue_id: str | None = None
    """The venue's order ID; None before the acknowledgement."""

    filled: Decimal = ZERO
    """The cumulative filled quantity."""

    cost: Decimal = ZERO
    """Paid or received for the filled quantity, without fees."""

    fee: Decimal = ZERO
    status: OrderStatus = OrderStatus.SUBMITTED
    reason: str = ""
    """Explains the final status, for example the venue's error; may be empty."""

    ended_at: float | None = None
    """When a final status was recorded."""

    @property
    def remaining(self) -> Decimal:
        """Return the quantity that is not filled."""
        return self.quantity - self.filled


@dataclass(frozen=True, kw_only=True)
class VenueOrder:
    """The venue's report on an order."""

    venue_id: str
    client_id: str | None
    symbol: str
    side: Side
    price: Decimal
    """The limit price; 0 for types without one."""

    quantity: Decimal
    status: OrderStatus
    filled: Decimal
    """The cumulative filled quantity."""

    cost: Decimal
    """Cost of the filled quantity, without fees."""

    fee: Decimal
    type: OrderType = OrderType.LIMIT
    stop_price: Decimal | None = None
    reason: str = ""
    opened_at: float = 0.0
    """0 when the venue does not report it."""


@dataclass(frozen=True, kw_only=True)
class Fill:
    """An increase of an order's filled quantity."""

    client_id: str
    quantity: Decimal
    """Of this fill alone."""

    upto: Decimal
    """The order's cumulative filled quantity after this fill; unique per order."""

    cost: Decimal
    """Of this fill alone, without its fee."""

    fee: Decimal


@dataclass(frozen=True, kw_only=True)
class Position:
    """The bot's long position in one symbol; never negative."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    """Paid for the quantity that is held, fees included."""

    realized: Decimal = ZERO
    """Realized profit of all sales so far, after fees."""

    def after(self, side: Side, fill: Fill) -> "Position":
        """Return the position after a fill; a sale realizes profit at average cost."""
        if side is Side.BUY:
            return replace(
                self, quantity=self.quantity + fill.quantity, cost=self.cost + fill.cost + fill.fee
            )
        # A sale of more than is held happens only after records were lost: the rest has no cost.
        sold = min(fill.quantity, self.quantity)
        paid = self.cost * sold / self.quantity if self.quantity else ZERO
        return Position(
            quantity=self.quantity - sold,
            cost=self.cost - paid,
            realized=self.realized + fill.cost - fill.fee - paid,
        )

    def unrealized(self, price: Decimal) -> Decimal:
        """Return the unrealized profit at this price, before the fee of the sale."""
        return self.quantity * price - self.cost


def own_prefix(bot: str) -> str:
    """Return the prefix of the client IDs of a bot's orders."""
    return hashlib.sha256(bot.encode()).hexdigest()[:PREFIX_LENGTH]


def new_client_id(bot: str) -> str:
    """Return a new client ID: a UUID, as Kraken requires, that starts with the bot's prefix."""
    return own_prefix(bot) + str(uuid.uuid4())[PREFIX_LENGTH:]


def apply_report(order: Order, report: VenueOrder) -> tuple[Order, Fill | None]:
    """Return an order after a report of the venue, and the new fill if there is one.

    A report with a lower filled quantity is out of date and changes nothing. A final status is
    never changed, but a fill that is reported late still counts.
    """
    if report.filled < order.filled:
        return order, None
    after = replace(order, filled=report.filled, cost=report.cost, fee=report.fee)
    if order.status.is_open:
        after = replace(
            after,
            venue_id=report.venue_id,
            status=_status(report),
            reason=report.reason or order.reason,
        )
    elif report.filled == order.filled:
        return order, None
    if report.filled == order.filled:
        return after, None
    return after, Fill(
        client_id=order.client_id,
        quantity=report.filled - order.filled,
        upto=report.filled,
        cost=report.cost - order.cost,
        fee=report.fee - order.fee,
    )


def _status(report: VenueOrder) -> OrderStatus:
    if report.status is OrderStatus.ACCEPTED and report.filled > 0:
        return OrderStatus.PARTIALLY_FILLED
    return report.status


def adopted_order(report: VenueOrder, client_id: str, at: float) -> Order:
    """Return an order for the book from a venue's report, without its fills.

    Apply the report to it afterwards (`apply_report`, `Book.update`), so that its fills count.

    Args:
        report: on an order that the book does not have.
        client_id: under which it is recorded.
        at: the creation time if the venue does not report one.
    """
    return Order(
        client_id=client_id,
        symbol=report.symbol,
        side=report.side,
        price=report.price,
        quantity=report.quantity,
        created_at=report.opened_at or at,
        type=report.type,
        stop_price=report.stop_price,
        purpose=Purpose.ADOPTED,
        venue_id=report.venue_id,
        status=OrderStatus.ACCEPTED,
    )
