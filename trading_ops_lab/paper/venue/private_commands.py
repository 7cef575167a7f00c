"""The private methods that change something: orders and the dead man's switch."""

from collections.abc import Callable
from typing import Final

from trading_ops import clock
from trading_ops_lab.paper.venue import dead_man_switches, form_fields, order_form, rest_shapes
from trading_ops_lab.paper.venue.engine import Engine
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.faults import Caller
from trading_ops_lab.paper.venue.form_fields import Form
from trading_ops_lab.paper.venue.orders import Order

Method = Callable[[Caller, Form], rest_shapes.Answer]

NEVER: Final = "0"
"""What Kraken sends as the trigger time of a disarmed switch."""


class PrivateCommands:
    """One method per Kraken endpoint; each takes the caller and the form."""

    def __init__(self, engine: Engine) -> None:
        """Use the engine."""
        self._engine = engine
        self.methods: dict[str, Method] = {
            "AddOrder": self.add_order,
            "AmendOrder": self.amend_order,
            "CancelOrder": self.cancel_order,
            "CancelOrderBatch": self.cancel_batch,
            "CancelAll": self.cancel_all,
            "CancelAllOrdersAfter": self.cancel_all_after,
        }

    def add_order(self, caller: Caller, form: Form) -> rest_shapes.Answer:
        """Place an order; with `validate` only check it."""
        new, now = order_form.read_order(form), clock.timestamp()
        described: rest_shapes.Answer = {"descr": {"order": rest_shapes.sentence(new)}}
        if form_fields.truth(form, "validate"):
            self._engine.match(self._engine.accounts[caller.account], new, now)
            return described
        return {**described, "txid": [self._engine.add(caller.account, new, now, caller).id]}

    def amend_order(self, caller: Caller, form: Form) -> rest_shapes.Answer:
        """Amend an order in place: its volume, limit or trigger price."""
        name, client_order_id = form_fields.text(form, "txid"), form_fields.text(form, "cl_ord_id")
        orders = self._named(caller.account, name, client_order_id)
        if len(orders) != 1:
            raise VenueRefusal("EOrder:Unknown order")
        change = order_form.read_change(form, orders[0])
        now = clock.timestamp()
        return {"amend_id": self._engine.amend(caller.account, orders[0], change, now, caller)}

    def cancel_order(self, caller: Caller, form: Form) -> rest_shapes.Answer:
        """Cancel by order id, by client order id, or all orders of one user reference."""
        name, client_order_id = form_fields.text(form, "txid"), form_fields.text(form, "cl_ord_id")
        orders = self._named(caller.account, name, client_order_id)
        if not orders:
            raise VenueRefusal("EOrder:Unknown order")
        return self._canceled(caller, orders)

    def cancel_batch(self, caller: Caller, form: Form) -> rest_shapes.Answer:
        """Cancel a list of orders; those that are not open are skipped."""
        names = form.get("orders")
        if not isinstance(names, list):
            raise VenueRefusal("EGeneral:Invalid arguments:orders")
        found = [order for name in names for order in self._named(caller.account, str(name), "")]
        return self._canceled(caller, list({order.id: order for order in found}.values()))

    def cancel_all(self, caller: Caller, _form: Form) -> rest_shapes.Answer:
        """Cancel all open orders."""
        orders, now = self._engine.find(caller.account), clock.timestamp()
        return {"count": self._engine.cancel(caller.account, orders, "cancel_all", now, caller)}

    def cancel_all_after(self, caller: Caller, form: Form) -> rest_shapes.Answer:
        """Arm the dead man's switch for `timeout` whole seconds, or disarm it with 0."""
        timeout = form_fields.number(form, "timeout", 0)
        if (
            not form_fields.text(form, "timeout")
            or timeout > dead_man_switches.LONGEST
            or timeout % 1
        ):
            raise VenueRefusal("EGeneral:Invalid arguments:timeout")
        now, skew = clock.timestamp(), self._engine.clearing.skew
        deadline = self._engine.arm(caller.account, int(timeout), now)
        trigger = NEVER if deadline is None else rest_shapes.stamp(deadline + skew, precise=False)
        return {"currentTime": rest_shapes.stamp(now + skew, precise=False), "triggerTime": trigger}

    def _named(self, account: str, name: str, client_order_id: str) -> list[Order]:
        if client_order_id:
            return self._engine.find(account, client_order_id=client_order_id)
        if (reference := form_fields.signed(name)) is not None:
            return self._engine.find(account, user_reference=reference)
        return self._engine.find(account, order_id=name)

    def _canceled(self, caller: Caller, orders: list[Order]) -> rest_shapes.Answer:
        now = clock.timestamp()
        return {"count": self._engine.cancel(caller.account, orders, "client", now, caller)}
