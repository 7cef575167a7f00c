"""The private methods that only read: balances, orders and trades of one account."""

import secrets
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final

from trading_ops.paper.venue import forms, wire
from trading_ops.paper.venue.engine import Engine
from trading_ops.paper.venue.forms import Form
from trading_ops.paper.venue.orders import ZERO, Order
from trading_ops.paper.venue.pairs import ASSETS, USD, find_pairs
from trading_ops.paper.venue.store import Store

Method = Callable[[str, Form], object]

PAGE: Final = 50
"""Most orders or trades in one answer."""

FOREVER: Final = forms.LARGEST_NUMBER
"""Epoch seconds after everything."""

TOKEN_SECONDS: Final = 900


class PrivateQueries:
    """One method per Kraken endpoint; each takes the account and the form."""

    def __init__(self, engine: Engine, store: Store) -> None:
        """Read open orders from the engine and closed ones from the store."""
        self._engine, self._store = engine, store
        self.methods: dict[str, Method] = {
            "Balance": self.balance,
            "BalanceEx": self.balance_extended,
            "TradeBalance": self.trade_balance,
            "TradeVolume": self.trade_volume,
            "OpenOrders": self.open_orders,
            "ClosedOrders": self.closed_orders,
            "QueryOrders": self.query_orders,
            "TradesHistory": self.trades_history,
            "QueryTrades": self.query_trades,
            "OpenPositions": lambda _account, _form: {},
            "GetWebSocketsToken": self.token,
        }

    def balance(self, account: str, _form: Form) -> wire.Answer:
        """Return what the account owns."""
        balances = self._engine.accounts[account].balances
        return {name: wire.money(ASSETS[name], amount) for name, amount in balances.items()}

    def balance_extended(self, account: str, _form: Form) -> wire.Answer:
        """Return what the account owns and how much of it is held."""
        owner = self._engine.accounts[account]
        return {
            name: {
                "balance": wire.money(ASSETS[name], amount),
                "hold_trade": wire.money(ASSETS[name], owner.held(name, self._engine.fees)),
            }
            for name, amount in owner.balances.items()
        }

    def trade_balance(self, account: str, _form: Form) -> wire.Answer:
        """Return the account's worth in US dollars; there is no margin here."""
        worth = sum(
            (
                amount * Decimal(self._engine.walk.value(ASSETS[name]))
                for name, amount in self._engine.accounts[account].balances.items()
            ),
            ZERO,
        )
        total, nothing = wire.money(USD, worth), wire.money(USD, ZERO)
        return {
            **dict.fromkeys(("eb", "tb", "e", "mf"), total),
            **dict.fromkeys(("m", "n", "c", "v"), nothing),
        }

    def trade_volume(self, _account: str, form: Form) -> wire.Answer:
        """Return the fees; they do not depend on the volume here."""
        fees = self._engine.fees
        pairs = list(find_pairs(forms.text(form, "pair")))
        return {
            "currency": USD.id,
            "volume": wire.money(USD, ZERO),
            "fees": {pair.id: {"fee": str(fees.taker * 100)} for pair in pairs},
            "fees_maker": {pair.id: {"fee": str(fees.maker * 100)} for pair in pairs},
        }

    def open_orders(self, account: str, form: Form) -> wire.Answer:
        """Return open orders, the latest first."""
        orders = _chosen(reversed(self._engine.find(account)), form)
        return {"open": _written(orders, form)}

    def closed_orders(self, account: str, form: Form) -> wire.Answer:
        """Return a page of orders that are filled or canceled, the latest first."""
        start, end = forms.number(form, "start", 0), forms.number(form, "end", FOREVER)
        offset = int(forms.number(form, "ofs", 0))
        found = list(_chosen(self._store.closed_orders(account, start, end), form))
        return {"closed": _written(found[offset : offset + PAGE], form), "count": len(found)}

    def query_orders(self, account: str, form: Form) -> wire.Answer:
        """Return orders by their ids; those that are not known are left out."""
        ids = forms.text(form, "txid").split(",")[:PAGE]
        found = (self._order(account, order_id.strip()) for order_id in ids)
        return _written(_chosen((order for order in found if order), form), form)

    def trades_history(self, account: str, form: Form) -> wire.Answer:
        """Return a page of the account's trades, the latest first."""
        start, end = forms.number(form, "start", 0), forms.number(form, "end", FOREVER)
        offset = int(forms.number(form, "ofs", 0))
        trades, count = self._store.trades(account, start, end, offset, PAGE)
        return {"trades": {trade.id: wire.trade(trade) for trade in trades}, "count": count}

    def query_trades(self, account: str, form: Form) -> wire.Answer:
        """Return trades by their ids; those that are not known are left out."""
        ids = forms.text(form, "txid").split(",")[:PAGE]
        found = (self._store.trade(account, trade_id.strip()) for trade_id in ids)
        return {trade.id: wire.trade(trade) for trade in found if trade}

    def token(self, _account: str, _form: Form) -> wire.Answer:
        """Return a token for private WebSocket channels, of which there are none yet."""
        return {"token": secrets.token_urlsafe(), "expires": TOKEN_SECONDS}

    def _order(self, account: str, order_id: str) -> Order | None:
        # An open order in memory is as new as the stored one, and costs nothing.
        open_orders = self._engine.accounts[account].open
        return open_orders.get(order_id) or self._store.order(account, order_id)


def _chosen(orders: Iterable[Order], form: Form) -> Iterable[Order]:
    """Keep the orders with the form's client order id and user reference, if it has them."""
    client_order_id, user_reference = forms.text(form, "cl_ord_id"), forms.reference(form)
    if client_order_id:
        orders = (order for order in orders if order.client_order_id == client_order_id)
    if user_reference is not None:
        orders = (order for order in orders if order.user_reference == user_reference)
    return orders


def _written(orders: Iterable[Order], form: Form) -> wire.Answer:
    with_trades = forms.truth(form, "trades")
    return {order.id: wire.order(order, with_trades=with_trades) for order in orders}
