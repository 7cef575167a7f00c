"""The two sides of a comparison, and what the settings decide about it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from trading_ops.botkit.orders.order import Order, VenueOrder
from trading_ops.botkit.venue.port import History, Snapshot


class Orphans(StrEnum):
    """What becomes of an order of ours that our records do not know."""

    ADOPT = "adopt"
    CANCEL = "cancel"


class Strangers(StrEnum):
    """What becomes of a trade that somebody else made on the account."""

    ADOPT = "adopt"
    """It is counted, and trading goes on."""

    HALT = "halt"
    """It is counted, and a person must say that it was meant."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What the settings decide."""

    orphans: Orphans = Orphans.CANCEL
    strangers: Strangers = Strangers.HALT
    lost_seconds: float = 15.0
    """Age from which an order that was sent, and that the venue does not know, never arrived."""


@dataclass(frozen=True, kw_only=True)
class Ours:
    """What the records say."""

    owns: Callable[[str | None], bool]
    """Whether an order with this client id is ours, recorded or not."""

    orders: Mapping[str, Order]
    """By client id: those that may be alive, and those that the venue's answers mention."""

    positions: Mapping[str, Decimal]
    expected: Mapping[str, Decimal]
    adopted: Collection[tuple[str, str]] = ()
    """Kinds and ids of trades and ledger entries that were counted before."""


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """What the venue says."""

    snapshot: Snapshot
    history: History
    words: Mapping[str, VenueOrder | None] = field(default_factory=dict)
    """By client id, on our orders that are not open: None when the venue does not know one."""

    others: Mapping[str, VenueOrder] = field(default_factory=dict)
    """By the venue's id, the orders behind trades of which our records know no order."""
