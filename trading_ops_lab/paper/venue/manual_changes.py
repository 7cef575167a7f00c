"""Manual changes of an account next to its bot, and the account's true state."""

from decimal import Decimal
from typing import Any, Final

import msgspec

from trading_ops import clock
from trading_ops_lab.paper.venue import order_form, rest_shapes
from trading_ops_lab.paper.venue.engine import Engine
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.faults import HAND, Caller
from trading_ops_lab.paper.venue.form_fields import LARGEST
from trading_ops_lab.paper.venue.journal import Journal
from trading_ops_lab.paper.venue.pairs import ASSETS, find_asset
from trading_ops_lab.paper.venue.store import Store

FOREVER: Final = 1e18


class Deposit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A deposit; a negative amount is a withdrawal."""

    asset: str
    amount: Decimal
    booked: bool = True
    """False: the balance changes without a ledger entry, like an error of the venue."""


class Cancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The order; empty: all."""

    order: str = ""


class ManualChanges:
    """Changes accounts directly: no key, no nonce, no fault, no rate limit."""

    def __init__(self, engine: Engine, store: Store, journal: Journal) -> None:
        """Share the venue's parts."""
        self._engine, self._store, self._journal = engine, store, journal

    def knows(self, account: str) -> bool:
        """Return whether the account exists."""
        return account in self._engine.accounts

    def show(self, account: str) -> dict[str, Any]:
        """Return balances, holds, open orders and number of trades."""
        owner, fees = self._engine.accounts[account], self._engine.fees
        return {
            "balances": {n: rest_shapes.money(ASSETS[n], a) for n, a in owner.balances.items()},
            "held": {n: rest_shapes.money(ASSETS[n], owner.held(n, fees)) for n in owner.balances},
            "open": {
                order.id: rest_shapes.order(order, trades=order.trades)
                for order in owner.open.values()
            },
            "trades": self._store.trades(account, 0, FOREVER, 0, 0)[1],
            "dead_man_deadline": self._engine.switches.deadlines.get(account),
        }

    def deposit(self, account: str, body: bytes) -> dict[str, Any]:
        """Deposit or withdraw.

        Raises:
            VenueRefusal: unknown asset, or insufficient funds.
        """
        wanted = msgspec.json.decode(body, type=Deposit)
        asset = find_asset(wanted.asset)
        if not wanted.amount.is_finite() or wanted.amount.copy_abs() >= LARGEST:
            raise VenueRefusal("EFunding:Invalid amount")
        if not (amount := asset.round(wanted.amount)):
            raise VenueRefusal("EFunding:Invalid amount")
        with self._journal.by(key=HAND):
            reference = self._engine.deposit(
                account, asset.id, amount, clock.timestamp(), booked=wanted.booked
            )
        self._journal.commit()
        return {"reference": reference, "balance": self.show(account)["balances"][asset.id]}

    def order(self, account: str, body: bytes) -> dict[str, Any]:
        """Place an order with the fields of AddOrder.

        Raises:
            VenueRefusal: as for AddOrder.
        """
        form = msgspec.json.decode(body, type=dict[str, Any])
        new = order_form.read_order(form)
        caller = Caller("AddOrder", HAND, HAND, account)
        with self._journal.by(key=HAND):
            order = self._engine.add(account, new, clock.timestamp(), caller)
        self._journal.commit()
        return {"order": order.id, **rest_shapes.order(order, trades=order.trades)}

    def cancel(self, account: str, body: bytes) -> dict[str, Any]:
        """Cancel one order or all.

        Raises:
            VenueRefusal: no such open order.
        """
        wanted = msgspec.json.decode(body or b"{}", type=Cancel)
        orders = self._engine.find(account, order_id=wanted.order or None)
        if wanted.order and not orders:
            raise VenueRefusal("EOrder:Unknown order")
        with self._journal.by(key=HAND):
            count = self._engine.cancel(account, orders, "client", clock.timestamp())
        self._journal.commit()
        return {"count": count}
