"""The findings of a comparison, and the steps that correct them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from trading_ops.botkit.orders.order import Order, OrderStatus, VenueOrder
from trading_ops.botkit.venue.adapter import LedgerEntry, VenueTrade


class Cause(StrEnum):
    """Why records and venue differ."""

    ORPHANED_ORDER = "orphaned_order"
    """The bot's order is open at the venue, and is not in the records."""

    LOST_ORDER = "lost_order"
    """The order is open in the records, and the venue does not know it."""

    MISSED_FILL = "missed_fill"
    """A recorded order has a fill that is not recorded."""

    UNKNOWN_FILL = "unknown_fill"
    """A fill of an order that is the bot's by its id and is not in the records."""

    FINISHED_ORDER = "finished_order"
    """The order ended while the bot was not connected."""

    QUANTITY_SMALLER = "quantity_smaller"
    """The position at the venue is smaller than the recorded one."""

    QUANTITY_LARGER = "quantity_larger"
    """The position at the venue is larger than the recorded one."""

    SIDE_FLIPPED = "side_flipped"
    """The position at the venue has the opposite sign."""

    EXTERNAL_TRADE = "external_trade"
    """A trade on the account that the bot did not order."""

    PARTIAL_HISTORY = "partial_history"
    """The venue did not return the whole history."""

    BALANCE = "balance"
    """A balance differs from the expected one."""


class Remedy(StrEnum):
    """The response to a discrepancy."""

    CORRECT = "correct"
    """The records are changed to match the venue: the cause is certain."""

    CANCEL = "cancel"
    """The order is recorded and cancelled at the venue."""

    LEAVE = "leave"
    """It is reported, and nothing changes."""

    WAIT = "wait"
    """A request may still be under way; the next comparison decides."""

    HALT = "halt"
    """An operator must decide; nothing is submitted until then."""


@dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """One difference between records and venue."""

    cause: Cause
    remedy: Remedy
    subject: str
    """An order's id, a symbol or a currency."""

    ours: str
    """The recorded value."""

    theirs: str
    """The venue's value."""

    detail: str = ""


def event_detail(found: Iterable[Discrepancy]) -> list[dict[str, str]]:
    """Return discrepancies as they are stored in an event."""
    return [
        {"cause": discrepancy.cause, "remedy": discrepancy.remedy, "subject": discrepancy.subject}
        | {"ours": discrepancy.ours, "theirs": discrepancy.theirs, "detail": discrepancy.detail}
        for discrepancy in found
    ]


# The steps, applied in the order in which they were found. Each may be repeated safely.


@dataclass(frozen=True, kw_only=True)
class UpdateOrder:
    """Apply the venue's report to a recorded order."""

    order: Order
    report: VenueOrder


@dataclass(frozen=True, kw_only=True)
class EndOrder:
    """Record the end of an order that the venue does not know."""

    order: Order
    status: OrderStatus
    reason: str


@dataclass(frozen=True, kw_only=True)
class AdoptOrder:
    """Record an order of the bot that is not in the records, with all its fills."""

    report: VenueOrder


@dataclass(frozen=True, kw_only=True)
class CancelOrder:
    """Cancel an orphaned order at the venue."""

    venue_id: str


@dataclass(frozen=True, kw_only=True)
class CountTrade:
    """Count an external trade in the expected balances, once."""

    trade: VenueTrade


@dataclass(frozen=True, kw_only=True)
class CountLedgerEntry:
    """Count a deposit, a withdrawal or an adjustment, once."""

    entry: LedgerEntry


@dataclass(frozen=True, kw_only=True)
class ReducePosition:
    """Lower a recorded position to the balance, where external sells explain the difference."""

    symbol: str
    quantity: Decimal


Step = (
    UpdateOrder
    | EndOrder
    | AdoptOrder
    | CancelOrder
    | CountTrade
    | CountLedgerEntry
    | ReducePosition
)


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What still differs once all steps are applied: the recorded value minus the venue's."""

    positions: Mapping[str, Decimal]
    """By symbol."""

    balances: Mapping[str, Decimal]
    """By currency."""

    def __bool__(self) -> bool:
        """Return whether anything differs."""
        return any(self.positions.values()) or any(self.balances.values())


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The result of one comparison."""

    discrepancies: tuple[Discrepancy, ...]
    steps: tuple[Step, ...]
    drift: Drift
    in_flight: bool
    """Whether a request or fill was under way while the venue was read: drift proves nothing."""

    read_at: float = 0.0
    """Time of the first query to the venue, in seconds since the epoch."""

    all_counted: bool = True
    """Whether everything up to `read_at` is recorded once the steps are applied, so that the
    watermark may advance."""

    @property
    def halting(self) -> tuple[Discrepancy, ...]:
        """Return the discrepancies that need an operator."""
        return tuple(
            discrepancy for discrepancy in self.discrepancies if discrepancy.remedy is Remedy.HALT
        )
