"""The fields of AddOrder and AmendOrder, read into checked values."""

import re
from decimal import Decimal
from typing import Final, cast, get_args

from trading_ops_lab.paper.venue import forms
from trading_ops_lab.paper.venue.amending import Change
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.forms import Form
from trading_ops_lab.paper.venue.orders import Kind, NewOrder, Order, Side, TimeInForce
from trading_ops_lab.paper.venue.pairs import PAIRS, Pair, find_pair

FLAGS: Final = frozenset({"fciq", "post", "viqc", "nompp"})

KINDS: Final = get_args(Kind)

NOT_OFFERED: Final = (
    *("leverage", "reduce_only", "starttm", "expiretm", "displayvol"),
    "close[ordertype]",
)
"""Fields of AddOrder that would change what an order means, and that this venue does not know.

`reduce_only` is for positions on margin, on Kraken too, and this venue lends nothing.
"""

SWITCHED_OFF: Final = ("", "0", "none", "false")

CLIENT_ID: Final = re.compile(
    r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[!-~]{1,18}"
)
"""A UUID with or without dashes, or up to 18 characters of free text."""


def read_order(form: Form) -> NewOrder:
    """Read the fields of AddOrder.

    Raises:
        VenueRefusal: one is missing, malformed or not offered here.
    """
    for name in NOT_OFFERED:
        if forms.text(form, name).lower() not in SWITCHED_OFF:
            raise VenueRefusal(f"EGeneral:Invalid arguments:{name}")
    pair = find_pair(forms.text(form, "pair"))
    kind = cast(Kind, forms.choice(form, "ordertype", KINDS))
    side = cast(Side, forms.choice(form, "type", ("buy", "sell")))
    flags = tuple(flag for flag in forms.text(form, "oflags").split(",") if flag)
    if not FLAGS.issuperset(flags) or ("viqc" in flags and (kind, side) != ("market", "buy")):
        raise VenueRefusal("EGeneral:Invalid arguments:oflags")
    client_order_id, user_reference = _references(form)
    limit, trigger = _prices(form, pair, kind)
    times = ("GTC", "IOC", "FOK") if trigger is None else ("GTC",)
    return NewOrder(
        pair=pair.id,
        side=side,
        kind=kind,
        volume=forms.volume(form),
        price=limit,
        trigger_price=trigger,
        time_in_force=cast(TimeInForce, forms.choice(form, "timeinforce", times, default="GTC")),
        flags=flags,
        client_order_id=client_order_id,
        user_reference=user_reference,
    )


def read_change(form: Form, order: Order) -> Change:
    """Read the fields of AmendOrder.

    Raises:
        VenueRefusal: one is malformed, or nothing is to be changed.
    """
    pair = PAIRS[order.pair]
    has = {name: bool(forms.text(form, name)) for name in ("limit_price", "trigger_price")}
    change = Change(
        volume=forms.volume(form, "order_qty") if forms.text(form, "order_qty") else None,
        price=forms.price(form, pair, "limit_price") if has["limit_price"] else None,
        trigger_price=forms.price(form, pair, "trigger_price") if has["trigger_price"] else None,
        post_only=forms.truth(form, "post_only"),
    )
    if change == Change(post_only=change.post_only):
        raise VenueRefusal("EGeneral:Invalid arguments")
    return change


def _prices(form: Form, pair: Pair, kind: Kind) -> tuple[Decimal | None, Decimal | None]:
    """Return the limit and the trigger price; Kraken names them differently for each kind."""
    if kind == "market":
        return None, None
    first = forms.price(form, pair)
    if kind == "limit":
        return first, None
    # The index price is Kraken's alone: here the last trade is the only reference.
    forms.choice(form, "trigger", ("last",), default="last")
    limit = forms.price(form, pair, "price2") if kind.endswith("-limit") else None
    return limit, first


def _references(form: Form) -> tuple[str | None, int | None]:
    client_order_id, user_reference = forms.text(form, "cl_ord_id") or None, forms.reference(form)
    # Kraken takes only one of the two.
    if client_order_id and (user_reference or not CLIENT_ID.fullmatch(client_order_id)):
        raise VenueRefusal("EGeneral:Invalid arguments:cl_ord_id")
    return client_order_id, user_reference
