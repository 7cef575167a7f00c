"""The channels of one account: executions and balances, each message numbered."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from trading_ops_lab.paper.venue import rest_shapes
from trading_ops_lab.paper.venue.engine import Engine
from trading_ops_lab.paper.venue.events import OrderEvent
from trading_ops_lab.paper.venue.feed.shapes import Message
from trading_ops_lab.paper.venue.ledger import LedgerEntry
from trading_ops_lab.paper.venue.orders import ZERO, Order, Trade
from trading_ops_lab.paper.venue.pairs import ASSET_CLASS, ASSETS, PAIRS, Asset
from trading_ops_lab.paper.venue.store import Store

SNAPSHOT_TRADES: Final = 50
FOREVER: Final = 1e18
MAIN: Final = {"type": "spot", "id": "main"}

ESSENTIAL: Final = frozenset({"new", "filled", "canceled", "trade"})
"""States sent to a client that does not want all of them."""


class AccountData:
    """Produces the messages about an account's balances and orders."""

    def __init__(self, engine: Engine, store: Store) -> None:
        """Read open orders from the engine, trades from the store."""
        self._engine, self._store = engine, store

    def executions(self, account: str, *, orders: bool, trades: bool, now: float) -> list[Message]:
        """Return a snapshot: open orders and the last trades, oldest first."""
        items: list[Message] = []
        if orders:
            items += [_whole(order, "new", _state(order)) for order in self._engine.find(account)]
        if trades:
            known = self._engine.clearing.known
            found, _ = self._store.trades(account, 0, FOREVER, 0, SNAPSHOT_TRADES)
            for trade in reversed([trade for trade in found if known(trade.id, now)]):
                order = self._engine.accounts[account].open.get(trade.order)
                order = order or self._store.order(account, trade.order)
                if order is not None:
                    items.append(self._trade(order, trade))
        return items

    def balances(self, account: str) -> list[Message]:
        """Return a snapshot of all balances."""
        return [
            {
                "asset": _name(ASSETS[name]),
                "asset_class": ASSET_CLASS,
                "balance": amount,
                "hold_trade": self._held(account, name),
                "wallets": [MAIN | {"balance": amount}],
            }
            for name, amount in self._engine.accounts[account].balances.items()
        ]

    def movement(self, entry: LedgerEntry) -> Message:
        """Return the message about a ledger entry."""
        asset = ASSETS[entry.asset]
        return {
            "ledger_id": entry.id,
            "ref_id": entry.reference,
            "timestamp": rest_shapes.stamp(entry.time),
            "type": entry.kind,
            "subtype": "",
            "asset": _name(asset),
            "asset_class": ASSET_CLASS,
            "category": entry.kind,
            "wallet_type": "spot",
            "wallet_id": "main",
            "amount": entry.amount,
            "fee": entry.fee,
            "balance": entry.balance,
            "hold_trade": self._held(entry.account, entry.asset),
        }

    def news(self, event: OrderEvent) -> Iterator[tuple[str, Message]]:
        """Yield the messages about an order, each with its exec_type."""
        order, stamp = event.order, {"timestamp": rest_shapes.stamp(event.time)}
        if event.kind == "added":
            yield "pending_new", _whole(order, "pending_new", "pending_new") | stamp
            yield "new", _brief(order, "new", "new") | stamp
        elif event.kind == "trade" and event.trade is not None:
            yield "trade", self._trade(order, event.trade)
        elif event.kind == "filled":
            yield "filled", _brief(order, "filled", "filled") | _sums(order) | stamp
        elif event.kind == "canceled":
            reason = rest_shapes.CANCEL_TEXTS[order.reason or "client"]
            reasons = {"reason": reason, "cancel_reason": reason}
            yield "canceled", _brief(order, "canceled", "canceled") | _sums(order) | stamp | reasons
        elif event.kind == "amended":
            yield "amended", _whole(order, "amended", _state(order)) | stamp | {"amended": True}
        else:
            yield "status", _whole(order, "status", "triggered") | stamp

    def _trade(self, order: Order, trade: Trade) -> Message:
        quote = PAIRS[trade.pair].quote
        return {
            **_names(order),
            "exec_id": trade.id,
            "exec_type": "trade",
            "trade_id": trade.number,
            "symbol": PAIRS[trade.pair].symbol,
            "side": trade.side,
            "last_qty": trade.volume,
            "last_price": trade.price,
            "liquidity_ind": "m" if trade.maker else "t",
            "cost": trade.cost,
            "order_status": "partially_filled",
            "order_type": trade.kind,
            "timestamp": rest_shapes.stamp(trade.time),
            "fee_usd_equiv": trade.fee * Decimal(self._engine.walk.value(quote)),
            "fees": [{"asset": _name(quote), "qty": trade.fee}],
        }

    def _held(self, account: str, asset: str) -> Decimal:
        return self._engine.accounts[account].held(asset, self._engine.fees)


def _whole(order: Order, exec_type: str, status: str) -> Message:
    fields = {
        **_names(order),
        "symbol": PAIRS[order.pair].symbol,
        "side": order.side,
        "order_type": order.kind,
        "order_qty": order.volume,
        "time_in_force": order.time_in_force,
        "post_only": "post" in order.flags,
        "exec_type": exec_type,
        "order_status": status,
        "fee_ccy_pref": "fciq",
        "timestamp": rest_shapes.stamp(order.opened_at),
        **_sums(order),
    }
    if order.price is not None:
        fields |= {"limit_price": order.price, "limit_price_type": "static"}
    if order.trigger_price is not None:
        fields["stop_price"] = order.trigger_price
        fields["triggers"] = {
            "reference": "last",
            "price": order.trigger_price,
            "price_type": "static",
            "status": "untriggered" if order.asleep else "triggered",
        }
    return fields


def _brief(order: Order, exec_type: str, status: str) -> Message:
    return {**_names(order), "exec_type": exec_type, "order_status": status}


def _names(order: Order) -> Message:
    names: Message = {"order_id": order.id, "order_userref": order.user_reference or 0}
    if order.client_order_id is not None:
        names["cl_ord_id"] = order.client_order_id
    return names


def _sums(order: Order) -> Message:
    average = order.cost / order.filled if order.filled else ZERO
    return {
        "cum_qty": order.filled,
        "cum_cost": order.cost,
        "avg_price": round(average, PAIRS[order.pair].price_decimals),
    }


def _state(order: Order) -> str:
    return "partially_filled" if order.filled else "new"


def _name(asset: Asset) -> str:
    """WebSocket v2 has names of its own: BTC for XBT."""
    return "BTC" if asset.altname == "XBT" else asset.altname
