"""The two sides of a comparison, and the policy that the settings define."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from trading_ops.botkit.orders.order import Order, VenueOrder
from trading_ops.botkit.venue.adapter import AccountHistory, AccountSnapshot


class OrphanPolicy(StrEnum):
    """What to do with an open order of this bot that is not in its records."""

    ADOPT = "adopt"
    """Record it and manage it like any other order."""

    CANCEL = "cancel"
    """Record it and cancel it at the venue."""


class ExternalTradePolicy(StrEnum):
    """What to do about a trade on the account that the bot did not order."""

    ADOPT = "adopt"
    """Count it in the expected balances; trading continues."""

    HALT = "halt"
    """Count it, and halt the bot until an operator releases the hold."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The settings of reconciliation."""

    orphaned_orders: OrphanPolicy = OrphanPolicy.CANCEL
    external_trades: ExternalTradePolicy = ExternalTradePolicy.HALT
    lost_seconds: float = 15.0
    """Age from which an order that was sent, and that the venue does not know, counts as lost."""


@dataclass(frozen=True, kw_only=True)
class RecordedState:
    """The bot's side: what its records contain."""

    owns: Callable[[str | None], bool]
    """Returns whether a client order id belongs to this bot, recorded or not."""

    orders: Mapping[str, Order]
    """By client id: orders that may be open, and those that the venue's answers mention."""

    positions: Mapping[str, Decimal]
    """Quantities by symbol."""

    expected: Mapping[str, Decimal]
    """The expected balances by currency."""

    counted: Collection[tuple[str, str]] = ()
    """Kinds and ids of external trades and ledger entries that were counted before."""


@dataclass(frozen=True, kw_only=True)
class VenueState:
    """The venue's side: what it reports about the account."""

    snapshot: AccountSnapshot
    history: AccountHistory
    reports: Mapping[str, VenueOrder | None] = field(default_factory=dict)
    """By client id, on the bot's orders that are not open; None: the venue does not know it."""

    unrecorded: Mapping[str, VenueOrder] = field(default_factory=dict)
    """By venue id, the orders of trades that belong to no recorded order."""
