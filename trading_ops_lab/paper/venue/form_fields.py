"""Reads and validates the fields of requests."""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.pairs import LOT_DECIMALS, Pair

Form = Mapping[str, Any]

LARGEST: Final = Decimal(10) ** 9
"""Maximum volume and price, so that their product can still be rounded."""

LARGEST_NUMBER: Final = 1e18
REFERENCES: Final = 2**31


def read_form(body: bytes, content_type: str) -> Form:
    """Parse a body, URL-encoded or JSON.

    Raises:
        VenueRefusal: it is neither.
    """
    try:
        if content_type == "application/json":
            return msgspec.json.decode(body, type=dict[str, Any])
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    except ValueError as error:
        raise VenueRefusal("EGeneral:Invalid arguments") from error


def text(form: Form, name: str) -> str:
    """Return a field as text; empty if it is missing."""
    value = form.get(name)
    return "" if value is None else str(value)


def truth(form: Form, name: str) -> bool:
    """Return a boolean field; Python's `True` is accepted too."""
    return text(form, name).lower() in ("true", "1")


def number(form: Form, name: str, default: float) -> float:
    """Return a non-negative number: a time, a count, an offset.

    Raises:
        VenueRefusal: it is not such a number.
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
        VenueRefusal: it is not a 32-bit integer.
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


def choice(form: Form, name: str, choices: Iterable[str], *, default: str | None = None) -> str:
    """Return a field that must be one of several values.

    Raises:
        VenueRefusal: it has another value, or is missing without a default.
    """
    value = text(form, name) or default or ""
    if value not in choices:
        raise VenueRefusal(f"EGeneral:Invalid arguments:{name}")
    return value


def volume(form: Form, name: str = "volume") -> Decimal:
    """Return a volume in lots.

    Raises:
        VenueRefusal: it is not a positive number, or has too many decimals.
    """
    amount = decimal(form, name)
    if amount is None or amount <= 0 or decimals(amount) > LOT_DECIMALS:
        raise VenueRefusal(f"EGeneral:Invalid arguments:{name}")
    return amount


def price(form: Form, pair: Pair, name: str = "price") -> Decimal:
    """Return a price of a pair.

    Raises:
        VenueRefusal: it is not a positive number, or finer than the pair's tick size.
    """
    amount = decimal(form, name)
    if amount is None or amount <= 0:
        raise VenueRefusal(f"EGeneral:Invalid arguments:{name}")
    if decimals(amount) > pair.price_decimals:
        raise VenueRefusal(
            f"EOrder:Invalid price:{pair.wsname} price can only be specified"
            f" up to {pair.price_decimals} decimals."
        )
    return amount


def decimal(form: Form, name: str) -> Decimal | None:
    """Return a field as an exact number; None if it is not a number, or too large."""
    try:
        amount = Decimal(text(form, name))
    except InvalidOperation:
        return None
    # `abs` would round, and overflow on 1e999999999.
    return amount if amount.is_finite() and amount.copy_abs() < LARGEST else None


def decimals(amount: Decimal) -> int:
    """Return how many decimals an amount has."""
    exponent = amount.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else LOT_DECIMALS + 1
