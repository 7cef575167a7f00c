"""Orders and trades. Volumes are in base, prices and costs in quote."""

import base64
import secrets
from decimal import Decimal
from typing import Final, Literal

import msgspec

Side = Literal["buy", "sell"]
Kind = Literal[
    "market", "limit", "stop-loss", "stop-loss-limit", "take-profit", "take-profit-limit"
]
TimeInForce = Literal["GTC", "IOC", "FOK"]
Status = Literal["open", "closed", "canceled"]
CancelReason = Literal[
    "client",
    "dead_man",
    "cancel_all",
    "immediate",
    "self_trade",
    "partial",
    "amended",
    "insufficient_funds",
]

ZERO: Final = Decimal(0)
ID_BYTES: Final = 10
"""Random bytes of an id: they give the sixteen characters of Kraken's format."""


def new_id(kind: Literal["O", "T", "L", "Q"]) -> str:
    """Return a new id in Kraken's format.

    O is an order, T a trade or an amendment, L an entry of a ledger, Q a deposit.
    """
    text = base64.b32encode(secrets.token_bytes(ID_BYTES)).decode("ascii")
    return f"{kind}{text[:5]}-{text[5:10]}-{text[10:]}"


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A requested order, already validated."""

    pair: str
    side: Side
    kind: Kind
    volume: Decimal
    price: Decimal | None = None
    """The limit price; None for market orders."""

    trigger_price: Decimal | None = None
    """The last price at which a stop-loss or take-profit order triggers."""

    time_in_force: TimeInForce = "GTC"
    flags: tuple[str, ...] = ()
    client_order_id: str | None = None
    user_reference: int | None = None


class Order(msgspec.Struct, kw_only=True):
    """An order, from open to closed or canceled; times are epoch seconds."""

    id: str
    account: str
    pair: str
    side: Side
    kind: Kind
    volume: Decimal
    price: Decimal | None
    flags: tuple[str, ...]
    client_order_id: str | None
    user_reference: int | None
    opened_at: float
    closed_at: float | None = None
    status: Status = "open"
    reason: str | None = None
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    fee: Decimal = ZERO
    trades: list[str] = msgspec.field(default_factory=list)
    trigger_price: Decimal | None = None
    triggered_at: float | None = None
    time_in_force: TimeInForce = "GTC"
    key: str = ""
    """Name of the API key that placed it."""

    queued_at: float = 0.0
    """Since when it has its queue position at its price; 0: since it was opened."""

    changed_at: float = 0.0
    """When it was last amended; 0: never."""

    @property
    def remaining(self) -> Decimal:
        """Unfilled volume."""
        return self.volume - self.filled

    @property
    def asleep(self) -> bool:
        """Whether it still waits for its trigger price."""
        return self.trigger_price is not None and self.triggered_at is None

    @property
    def on_book(self) -> bool:
        """Whether others can trade with it."""
        return self.status == "open" and self.price is not None and not self.asleep

    @property
    def place(self) -> float:
        """Position in the queue of its price; lower is earlier."""
        return self.queued_at or self.opened_at


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One fill of one order; `cost` is without the fee, both are in quote."""

    id: str
    order: str
    account: str
    pair: str
    side: Side
    kind: Kind
    price: Decimal
    volume: Decimal
    cost: Decimal
    fee: Decimal
    maker: bool
    time: float
    number: int = 0
    """Number among all trades of the venue; assigned when stored."""
