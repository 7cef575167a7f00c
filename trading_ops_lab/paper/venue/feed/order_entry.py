"""Orders over WebSocket: the same commands as over REST, in another format."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final

import msgspec

from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.faults import Caller
from trading_ops_lab.paper.venue.feed.shapes import Message
from trading_ops_lab.paper.venue.form_fields import Form
from trading_ops_lab.paper.venue.pairs import SYMBOLS
from trading_ops_lab.paper.venue.private_commands import PrivateCommands

REST_NAMES: Final = {
    "add_order": "AddOrder",
    "amend_order": "AmendOrder",
    "cancel_order": "CancelOrder",
    "cancel_all": "CancelAll",
    "cancel_all_orders_after": "CancelAllOrdersAfter",
}
"""The REST name of each method, which faults use."""


class Triggers(msgspec.Struct):
    """The trigger of an order."""

    price: Decimal | None = None
    reference: str = "last"
    price_type: str = "static"


class OrderParams(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of the order methods; numbers are read exactly."""

    token: str = ""
    order_type: str = ""
    side: str = ""
    symbol: str = ""
    order_qty: Decimal | None = None
    cash_order_qty: Decimal | None = None
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None
    triggers: Triggers | None = None
    time_in_force: str = "gtc"
    post_only: bool = False
    reduce_only: bool = False
    margin: bool = False
    validate: bool = False
    fee_preference: str = ""
    order_userref: int | list[int] | None = None
    order_id: str | list[str] | None = None
    cl_ord_id: str | list[str] | None = None
    timeout: int | None = None


class OrderEntry:
    """Runs order methods."""

    def __init__(self, commands: PrivateCommands) -> None:
        """Share the commands with REST."""
        self._commands = commands
        self._methods: dict[str, Callable[[Caller, OrderParams], Iterator[Message]]] = {
            "add_order": self._add,
            "amend_order": self._amend,
            "cancel_order": self._cancel,
            "cancel_all": self._cancel_all,
            "cancel_all_orders_after": self._cancel_after,
        }

    def perform(self, method: str, caller: Caller, params: OrderParams) -> Iterator[Message]:
        """Run one request; yield its results.

        Raises:
            VenueRefusal: as over REST.
        """
        return self._methods[method](caller, params)

    def _add(self, caller: Caller, params: OrderParams) -> Iterator[Message]:
        answer = self._commands.add_order(caller, _new_order(params))
        names: Message = {"order_id": answer["txid"][0]} if "txid" in answer else {}
        if params.cl_ord_id is not None:
            names["cl_ord_id"] = params.cl_ord_id
        if params.order_userref is not None:
            names["order_userref"] = params.order_userref
        yield names

    def _amend(self, caller: Caller, params: OrderParams) -> Iterator[Message]:
        names = {"order_id": params.order_id, "cl_ord_id": params.cl_ord_id}
        form = {
            "txid": params.order_id,
            "cl_ord_id": params.cl_ord_id,
            "order_qty": _number(params.order_qty),
            "limit_price": _number(params.limit_price),
            "trigger_price": _number(params.trigger_price),
            "post_only": params.post_only,
        }
        answer = self._commands.amend_order(caller, form)
        yield answer | {name: value for name, value in names.items() if value is not None}

    def _cancel(self, caller: Caller, params: OrderParams) -> Iterator[Message]:
        found = False
        for field, name in (("txid", "order_id"), ("cl_ord_id", "cl_ord_id")):
            for value in _list(getattr(params, name)):
                found = True
                self._commands.cancel_order(caller, {field: value})
                yield {name: value}
        for number in _list(params.order_userref):
            found = True
            self._commands.cancel_order(caller, {"txid": str(number)})
            yield {"order_userref": number}
        if not found:
            raise VenueRefusal("EGeneral:Invalid arguments")

    def _cancel_all(self, caller: Caller, _params: OrderParams) -> Iterator[Message]:
        yield self._commands.cancel_all(caller, {})

    def _cancel_after(self, caller: Caller, params: OrderParams) -> Iterator[Message]:
        yield self._commands.cancel_all_after(caller, {"timeout": params.timeout})


def _new_order(params: OrderParams) -> Form:
    if params.symbol not in SYMBOLS:
        raise VenueRefusal(f"Currency pair not supported {params.symbol}")
    trigger = None if params.triggers is None else params.triggers.price
    limit = _number(params.limit_price)
    flags = ["post"] if params.post_only else []
    if params.cash_order_qty is not None:
        flags.append("viqc")
    return {
        "pair": params.symbol,
        "ordertype": params.order_type,
        "type": params.side,
        "volume": _number(params.cash_order_qty or params.order_qty),
        "price": limit if params.triggers is None else _number(trigger),
        "price2": None if params.triggers is None else limit,
        "trigger": None if params.triggers is None else params.triggers.reference,
        "timeinforce": params.time_in_force.upper(),
        "oflags": ",".join(flags),
        "cl_ord_id": params.cl_ord_id,
        "userref": params.order_userref,
        "reduce_only": params.reduce_only,
        "leverage": params.margin,
        "validate": params.validate,
    }


def _number(amount: Decimal | None) -> str | None:
    # Not expanded: 1e999999999 is rejected later, by its size.
    return None if amount is None else str(amount)


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
