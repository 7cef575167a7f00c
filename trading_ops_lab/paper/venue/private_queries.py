"""The private methods that only read one account: balances, orders, tokens."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final

from trading_ops import clock
from trading_ops_lab.paper.venue import form_fields, rest_shapes
from trading_ops_lab.paper.venue.engine import Engine
from trading_ops_lab.paper.venue.faults import Caller
from trading_ops_lab.paper.venue.form_fields import Form
from trading_ops_lab.paper.venue.history import FOREVER, PAGE, Window, page
from trading_ops_lab.paper.venue.orders import ZERO, Order
from trading_ops_lab.paper.venue.pairs import ASSETS, USD, find_pairs
from trading_ops_lab.paper.venue.store import Store
from trading_ops_lab.paper.venue.tokens import TOKEN_SECONDS, Tokens

Method = Callable[[Caller, Form], rest_shapes.Answer]

NOTHING: Final = rest_shapes.money(USD, ZERO)


class PrivateQueries:
    """One method per Kraken endpoint; each takes the caller and the form."""

    def __init__(self, engine: Engine, store: Store, tokens: Tokens) -> None:
        """Read open orders from the engine and closed ones from the store."""
        self._engine, self._store, self._tokens = engine, store, tokens
        self.methods: dict[str, Method] = {
            "Balance": self.balance,
            "BalanceEx": self.balance_extended,
            "TradeBalance": self.trade_balance,
            "TradeVolume": self.trade_volume,
            "OpenOrders": self.open_orders,
            "ClosedOrders": self.closed_orders,
            "QueryOrders": self.query_orders,
            # There is no margin here, and as on Kraken spot trades are not positions.
            "OpenPositions": lambda _caller, _form: {},
            "GetWebSocketsToken": self.token,
        }

    def balance(self, caller: Caller, _form: Form) -> rest_shapes.Answer:
        """Return the account's balances."""
        balances = self._engine.accounts[caller.account].balances
        return {name: rest_shapes.money(ASSETS[name], amount) for name, amount in balances.items()}

    def balance_extended(self, caller: Caller, _form: Form) -> rest_shapes.Answer:
        """Return the account's balances and how much of them is reserved."""
        owner = self._engine.accounts[caller.account]
        return {
            name: {
                "balance": rest_shapes.money(ASSETS[name], amount),
                "hold_trade": rest_shapes.money(ASSETS[name], owner.held(name, self._engine.fees)),
            }
            for name, amount in owner.balances.items()
        }

    def trade_balance(self, caller: Caller, _form: Form) -> rest_shapes.Answer:
        """Return the account's value in US dollars; there is no margin."""
        worth = sum(
            (
                amount * Decimal(self._engine.walk.value(ASSETS[name]))
                for name, amount in self._engine.accounts[caller.account].balances.items()
            ),
            ZERO,
        )
        return {
            **dict.fromkeys(("eb", "tb", "e", "mf"), rest_shapes.money(USD, worth)),
            **dict.fromkeys(("m", "n", "c", "v"), NOTHING),
        }

    def trade_volume(self, _caller: Caller, form: Form) -> rest_shapes.Answer:
        """Return the fees; they do not depend on the volume here."""
        fees = self._engine.fees
        pairs = list(find_pairs(form_fields.text(form, "pair")))
        return {
            "currency": USD.id,
            "volume": NOTHING,
            "fees": {pair.id: {"fee": str(fees.taker * 100)} for pair in pairs},
            "fees_maker": {pair.id: {"fee": str(fees.maker * 100)} for pair in pairs},
        }

    def open_orders(self, caller: Caller, form: Form) -> rest_shapes.Answer:
        """Return open orders, newest first."""
        orders = _chosen(reversed(self._engine.find(caller.account)), form)
        return {"open": self._written(orders, form)}

    def closed_orders(self, caller: Caller, form: Form) -> rest_shapes.Answer:
        """Return a page of filled and canceled orders, newest first."""

        def moment(order_id: str) -> float | None:
            order = self._order(caller.account, order_id)
            return None if order is None else order.closed_at or order.opened_at

        window = Window.read(form, moment)
        kind = form_fields.choice(form, "closetime", ("open", "close", "both"), default="both")
        orders: Iterable[Order]
        if kind == "open":
            every = self._store.closed_orders(caller.account, 0, FOREVER)
            orders = (order for order in every if window.has(order.opened_at))
        else:
            orders = self._store.closed_orders(caller.account, window.start, window.end)
        found = list(_chosen(orders, form))
        return page("closed", self._written(found[window.slice], form), len(found), form)

    def query_orders(self, caller: Caller, form: Form) -> rest_shapes.Answer:
        """Return orders by their ids; unknown ones are omitted."""
        ids = form_fields.text(form, "txid").split(",")[:PAGE]
        found = (self._order(caller.account, order_id.strip()) for order_id in ids)
        return self._written(_chosen((order for order in found if order), form), form)

    def token(self, caller: Caller, _form: Form) -> rest_shapes.Answer:
        """Return a token for private WebSocket channels."""
        token = self._tokens.give(caller.key, caller.account, clock.timestamp())
        return {"token": token, "expires": TOKEN_SECONDS}

    def _order(self, account: str, order_id: str) -> Order | None:
        # An open order in memory is as recent as the stored one, and costs nothing.
        open_orders = self._engine.accounts[account].open
        return open_orders.get(order_id) or self._store.order(account, order_id)

    def _written(self, orders: Iterable[Order], form: Form) -> rest_shapes.Answer:
        now, clearing = clock.timestamp(), self._engine.clearing
        with_trades = form_fields.truth(form, "trades")
        written = {}
        for order in orders:
            known = [name for name in order.trades if clearing.known(name, now)]
            written[order.id] = rest_shapes.order(order, trades=known if with_trades else [])
        return written


def _chosen(orders: Iterable[Order], form: Form) -> Iterable[Order]:
    """Filter orders by the form's client order id and user reference, if given."""
    client_order_id, user_reference = (
        form_fields.text(form, "cl_ord_id"),
        form_fields.reference(form),
    )
    if client_order_id:
        orders = (order for order in orders if order.client_order_id == client_order_id)
    if user_reference is not None:
        orders = (order for order in orders if order.user_reference == user_reference)
    return orders
