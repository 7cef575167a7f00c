"""Reads and validates the fields of AddOrder and AmendOrder."""

import re
from decimal import Decimal
from typing import Final, cast, get_args

from trading_ops_lab.paper.venue import form_fields
from trading_ops_lab.paper.venue.amending import Change
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.form_fields import Form
from trading_ops_lab.paper.venue.orders import Kind, NewOrder, Order, Side, TimeInForce
from trading_ops_lab.paper.venue.pairs import PAIRS, Pair, find_pair

FLAGS: Final = frozenset({"fciq", "post", "viqc", "nompp"})

KINDS: Final = get_args(Kind)

NOT_OFFERED: Final = (
    *("leverage", "reduce_only", "starttm", "expiretm", "displayvol"),
    "close[ordertype]",
)
"""Fields of AddOrder that change the meaning of an order and that this venue does not support.

`reduce_only` is for margin positions, on Kraken too, and this venue has no margin.
"""

SWITCHED_OFF: Final = ("", "0", "none", "false")

CLIENT_ID: Final = re.compile(
    r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[!-~]{1,18}"
)
"""A UUID with or without dashes, or up to 18 characters of free text."""


def read_order(form: Form) -> NewOrder:
    """Read the fields of AddOrder.

    Raises:
        VenueRefusal: one is missing, malformed or not supported here.
    """
    for name in NOT_OFFERED:
        if form_fields.text(form, name).lower() not in SWITCHED_OFF:
            raise VenueRefusal(f"EGeneral:Invalid arguments:{name}")
    pair = find_pair(form_fields.text(form, "pair"))
    kind = cast(Kind, form_fields.choice(form, "ordertype", KINDS))
    side = cast(Side, form_fields.choice(form, "type", ("buy", "sell")))
    flags = tuple(flag for flag in form_fields.text(form, "oflags").split(",") if flag)
    if not FLAGS.issuperset(flags) or ("viqc" in flags and (kind, side) != ("market", "buy")):
        raise VenueRefusal("EGeneral:Invalid arguments:oflags")
    client_order_id, user_reference = _references(form)
    limit, trigger = _prices(form, pair, kind)
    times = ("GTC", "IOC", "FOK") if trigger is None else ("GTC",)
    return NewOrder(
        pair=pair.id,
        side=side,
        kind=kind,
        volume=form_fields.volume(form),
        price=limit,
        trigger_price=trigger,
        time_in_force=cast(
            TimeInForce, form_fields.choice(form, "timeinforce", times, default="GTC")
        ),
        flags=flags,
        client_order_id=client_order_id,
        user_reference=user_reference,
    )


def read_change(form: Form, order: Order) -> Change:
    """Read the fields of AmendOrder.

    Raises:
        VenueRefusal: one is malformed, or there is no change.
    """
    pair = PAIRS[order.pair]
    has = {name: bool(form_fields.text(form, name)) for name in ("limit_price", "trigger_price")}
    change = Change(
        volume=form_fields.volume(form, "order_qty")
        if form_fields.text(form, "order_qty")
        else None,
        price=form_fields.price(form, pair, "limit_price") if has["limit_price"] else None,
        trigger_price=form_fields.price(form, pair, "trigger_price")
        if has["trigger_price"]
        else None,
        post_only=form_fields.truth(form, "post_only"),
    )
    if change == Change(post_only=change.post_only):
        raise VenueRefusal("EGeneral:Invalid arguments")
    return change


def _prices(form: Form, pair: Pair, kind: Kind) -> tuple[Decimal | None, Decimal | None]:
    """Return the limit and the trigger price; Kraken names them differently for each kind."""
    if kind == "market":
        return None, None
    first = form_fields.price(form, pair)
    if kind == "limit":
        return first, None
    # Only Kraken has an index price: here the last trade is the only reference.
    form_fields.choice(form, "trigger", ("last",), default="last")
    limit = form_fields.price(form, pair, "price2") if kind.endswith("-limit") else None
    return limit, first


def _references(form: Form) -> tuple[str | None, int | None]:
    client_order_id, user_reference = (
        form_fields.text(form, "cl_ord_id") or None,
        form_fields.reference(form),
    )
    # Kraken accepts only one of the two.
    if client_order_id and (user_reference or not CLIENT_ID.fullmatch(client_order_id)):
        raise VenueRefusal("EGeneral:Invalid arguments:cl_ord_id")
    return client_order_id, user_reference
