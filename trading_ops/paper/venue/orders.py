"""The values of trading: orders and trades. Volumes are in base, prices and costs in quote."""

import base64
import secrets
from decimal import Decimal
from typing import Final, Literal

import msgspec

Side = Literal["buy", "sell"]
Kind = Literal["market", "limit"]
TimeInForce = Literal["GTC", "IOC", "FOK"]
Status = Literal["open", "closed", "canceled"]
CancelReason = Literal["client", "dead_man", "cancel_all", "immediate", "self_trade"]

ZERO: Final = Decimal(0)
ID_BYTES: Final = 10
"""Bytes of chance in an id: they are just the sixteen characters of Kraken's format."""


def new_id(kind: Literal["O", "T"]) -> str:
    """Return a fresh id in Kraken's format: O for an order, T for a trade."""
    text = base64.b32encode(secrets.token_bytes(ID_BYTES)).decode("ascii")
    return f"{kind}{text[:5]}-{text[5:10]}-{text[10:]}"


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for, already checked for form."""

    pair: str
    side: Side
    kind: Kind
    volume: Decimal
    price: Decimal | None = None
    time_in_force: TimeInForce = "GTC"
    flags: tuple[str, ...] = ()
    client_order_id: str | None = None
    user_reference: int | None = None


class Order(msgspec.Struct, kw_only=True):
    """An order on its way from open to closed or canceled; times are epoch seconds."""

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

    @property
    def remaining(self) -> Decimal:
        """Volume that is not filled."""
        return self.volume - self.filled


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
    """Counts all trades of the venue; given when stored."""
