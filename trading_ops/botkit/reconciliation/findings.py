"""What a comparison finds, and what is to be done about it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from trading_ops.botkit.orders.order import Order, OrderStatus, VenueOrder
from trading_ops.botkit.venue.port import LedgerEntry, VenueTrade


class Cause(StrEnum):
    """Why records and venue differ."""

    ORPHANED_ORDER = "orphaned_order"
    """It rests at the venue, and our records do not know it."""

    LOST_ORDER = "lost_order"
    """It is alive in our records, and the venue does not know it."""

    MISSED_FILL = "missed_fill"
    UNKNOWN_FILL = "unknown_fill"
    """A trade of an order that is ours by its id, and that our records do not know."""

    FINISHED_ORDER = "finished_order"
    """It ended while nobody listened."""

    QUANTITY_SMALLER = "quantity_smaller"
    QUANTITY_LARGER = "quantity_larger"
    SIDE_FLIPPED = "side_flipped"
    EXTERNAL_TRADE = "external_trade"
    """Somebody else trades on the account."""

    PARTIAL_HISTORY = "partial_history"
    BALANCE = "balance"


class Remedy(StrEnum):
    """What is done about a discrepancy."""

    HEAL = "heal"
    """The records follow the venue: nothing about it is in doubt."""

    CANCEL = "cancel"
    LEAVE = "leave"
    """It is noted, and changes nothing."""

    WAIT = "wait"
    """It may be on its way; the next comparison knows more."""

    HALT = "halt"
    """A person must look: nothing is submitted until then."""


@dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """One difference."""

    cause: Cause
    remedy: Remedy
    subject: str
    """An order's id, a symbol or a currency."""

    ours: str
    theirs: str
    detail: str = ""


def told(found: Iterable[Discrepancy]) -> list[dict[str, str]]:
    """Return discrepancies as an event keeps them."""
    return [
        {"cause": one.cause, "remedy": one.remedy, "subject": one.subject}
        | {"ours": one.ours, "theirs": one.theirs, "detail": one.detail}
        for one in found
    ]


# What is to be done, in this order; each is safe to repeat.


@dataclass(frozen=True, kw_only=True)
class Hear:
    """Take the venue's word on an order that is recorded."""

    order: Order
    word: VenueOrder


@dataclass(frozen=True, kw_only=True)
class End:
    """Note the end of an order that the venue does not know."""

    order: Order
    status: OrderStatus
    reason: str


@dataclass(frozen=True, kw_only=True)
class Adopt:
    """Record an order that is ours and was not recorded, with all its fills."""

    word: VenueOrder


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Cancel an order that nobody looks after."""

    venue_id: str


@dataclass(frozen=True, kw_only=True)
class CountTrade:
    """Count somebody else's trade in the expected balances, once."""

    trade: VenueTrade


@dataclass(frozen=True, kw_only=True)
class CountLedger:
    """Count a deposit, a withdrawal or an adjustment, once."""

    entry: LedgerEntry


@dataclass(frozen=True, kw_only=True)
class Shrink:
    """Lower a position to what is there: somebody else sold the rest, and that is known."""

    symbol: str
    quantity: Decimal


Step = Hear | End | Adopt | Cancel | CountTrade | CountLedger | Shrink


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What stays different when all steps were taken: ours minus the venue's."""

    positions: Mapping[str, Decimal]
    balances: Mapping[str, Decimal]

    def __bool__(self) -> bool:
        """Say whether anything differs."""
        return any(self.positions.values()) or any(self.balances.values())


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that one comparison found."""

    discrepancies: tuple[Discrepancy, ...]
    steps: tuple[Step, ...]
    drift: Drift
    in_flight: bool
    """Whether something was on its way while the venue was read, so that drift proves nothing."""

    read_at: float = 0.0
    """When the venue was first asked, in seconds since the epoch."""

    counted: bool = True
    """Whether all that happened until then is in the records once the steps are taken, so that it
    need not be read again."""

    @property
    def halting(self) -> tuple[Discrepancy, ...]:
        """Return what only a person can settle."""
        return tuple(one for one in self.discrepancies if one.remedy is Remedy.HALT)
