"""The bodies of private requests, read into checked values."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast
from urllib.parse import parse_qsl

import msgspec

from trading_ops.paper.venue.errors import VenueRefusal
from trading_ops.paper.venue.orders import Kind, NewOrder, Side, TimeInForce
from trading_ops.paper.venue.pairs import LOT_DECIMALS, Pair, find_pair

Form = Mapping[str, Any]

FLAGS: Final = frozenset({"fciq", "post", "viqc", "nompp"})
LONGEST_CLIENT_ID: Final = 36
"""Characters: those of a UUID."""

NOT_OFFERED: Final = (
    *("leverage", "reduce_only", "price2", "starttm", "expiretm", "displayvol", "trigger"),
    "close[ordertype]",
)
"""Fields of AddOrder that would change what an order means, and that this venue does not know."""

LARGEST: Final = Decimal(10) ** 9
"""No volume or price is larger: what they make together can still be rounded."""

LARGEST_NUMBER: Final = 1e18
REFERENCES: Final = 2**31

SWITCHED_OFF: Final = ("", "0", "none", "false")


def read_form(body: bytes, content_type: str) -> Form:
    """Take a body apart, URL-encoded or JSON.

    Raises:
        VenueRefusal: it is neither.
    """
    try:
        if content_type == "application/json":
            return msgspec.json.decode(body, type=dict[str, Any])
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    except ValueError as error:
        raise VenueRefusal("EGeneral:Invalid arguments") from error


def read_order(form: Form) -> NewOrder:
    """Read the fields of AddOrder.

    Raises:
        VenueRefusal: one is missing, malformed or not offered here.
    """
    for name in NOT_OFFERED:
        if str(form.get(name, "")).lower() not in SWITCHED_OFF:
            raise VenueRefusal(f"EGeneral:Invalid arguments:{name}")
    pair = find_pair(text(form, "pair"))
    kind = cast(Kind, _choice(form, "ordertype", ("market", "limit")))
    side = cast(Side, _choice(form, "type", ("buy", "sell")))
    flags = tuple(flag for flag in text(form, "oflags").split(",") if flag)
    if not FLAGS.issuperset(flags) or ("viqc" in flags and (kind, side) != ("market", "buy")):
        raise VenueRefusal("EGeneral:Invalid arguments:oflags")
    client_order_id, user_reference = _references(form)
    return NewOrder(
        pair=pair.id,
        side=side,
        kind=kind,
        volume=_volume(form),
        price=_price(form, pair) if kind == "limit" else None,
        time_in_force=cast(
            TimeInForce, _choice(form, "timeinforce", ("GTC", "IOC", "FOK"), default="GTC")
        ),
        flags=flags,
        client_order_id=client_order_id,
        user_reference=user_reference,
    )


def text(form: Form, name: str) -> str:
    """Return a field as text; empty when it is not there."""
    value = form.get(name)
    return "" if value is None else str(value)


def truth(form: Form, name: str) -> bool:
    """Return a field that is true or false; Python's `True` counts too."""
    return text(form, name).lower() in ("true", "1")


def number(form: Form, name: str, default: float) -> float:
    """Return a number that is not negative: a time, a count, an offset.

    Raises:
        VenueRefusal: it is none.
    """
    try:
        value = float(form.get(name) or default)
    except (TypeError, ValueError) as error:
        raise VenueRefusal(f"EGeneral:Invalid arguments:{name}") from error
    if not 0 <= value <= LARGEST_NUMBER:  # NaN is refused too
        raise VenueRefusal(f"EGeneral:Invalid arguments:{name}")
    return value


def reference(form: Form) -> int | None:
    """Return the user reference, a whole number, or None.

    Raises:
        VenueRefusal: it is no whole number of 32 bits.
    """
    given = text(form, "userref")
    if given and (number := signed(given)) is None:
        raise VenueRefusal("EGeneral:Invalid arguments:userref")
    return number if given else None


def signed(given: str) -> int | None:
    """Read a whole number of 32 bits with its sign; None for anything else."""
    digits = given.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(REFERENCES))):
        return None
    number = int(given)
    return number if -REFERENCES <= number < REFERENCES else None


def _references(form: Form) -> tuple[str | None, int | None]:
    client_order_id, user_reference = text(form, "cl_ord_id") or None, reference(form)
    # Kraken takes only one of the two.
    if client_order_id and (user_reference or len(client_order_id) > LONGEST_CLIENT_ID):
        raise VenueRefusal("EGeneral:Invalid arguments:cl_ord_id")
    return client_order_id, user_reference


def _choice(form: Form, name: str, choices: tuple[str, ...], *, default: str | None = None) -> str:
    value = text(form, name) or default
    if value not in choices:
        raise VenueRefusal(f"EGeneral:Invalid arguments:{name}")
    return str(value)


def _volume(form: Form) -> Decimal:
    amount = _decimal(form, "volume")
    if amount is None or amount <= 0 or _decimals(amount) > LOT_DECIMALS:
        raise VenueRefusal("EGeneral:Invalid arguments:volume")
    return amount


def _price(form: Form, pair: Pair) -> Decimal:
    amount = _decimal(form, "price")
    if amount is None or amount <= 0:
        raise VenueRefusal("EGeneral:Invalid arguments:price")
    if _decimals(amount) > pair.price_decimals:
        raise VenueRefusal(
            f"EOrder:Invalid price:{pair.wsname} price can only be specified"
            f" up to {pair.price_decimals} decimals."
        )
    return amount


def _decimal(form: Form, name: str) -> Decimal | None:
    try:
        amount = Decimal(text(form, name))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount < LARGEST else None


def _decimals(amount: Decimal) -> int:
    exponent = amount.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else LOT_DECIMALS + 1
