"""Books every fill, cancel and deposit: balances, ledger, journal and feed events, together."""

from decimal import Decimal

from trading_ops_lab.paper.venue import ledger, settlement
from trading_ops_lab.paper.venue.account import Account, Fees
from trading_ops_lab.paper.venue.events import Outbox
from trading_ops_lab.paper.venue.faults import Caller, FaultBoard
from trading_ops_lab.paper.venue.journal import Journal
from trading_ops_lab.paper.venue.matching import Fill
from trading_ops_lab.paper.venue.orders import CancelReason, Order, Trade
from trading_ops_lab.paper.venue.pairs import PAIRS
from trading_ops_lab.paper.venue.store import Store


class Clearing:
    """Records what happened to orders and money; decides nothing."""

    def __init__(
        self, store: Store, journal: Journal, board: FaultBoard, outbox: Outbox, fees: Fees
    ) -> None:
        """Share the venue's parts."""
        self._store, self._journal, self._board = store, journal, board
        self.outbox, self.fees = outbox, fees
        self.late: dict[str, float] = {}
        """Delayed trades by id, with the time from which they may be reported (epoch seconds)."""

    @property
    def skew(self) -> float:
        """Return how far the venue's clock is ahead, in seconds."""
        fault = self._board.find("wrong_clock")
        return 0.0 if fault is None else fault.offset_seconds

    @staticmethod
    def owner(order: Order) -> Caller:
        """Return the caller to which faults of a fill apply."""
        return Caller(key=order.key, account=order.account)

    def open(self, order: Order, account: Account, now: float) -> None:
        """Accept an order."""
        account.open[order.id] = order
        self._store.save_order(order)
        self._journal.record("order_added", **order_fields(order))
        self.outbox.put_order("added", order, now + self.skew)

    def settle(
        self, order: Order, account: Account, fill: Fill, *, maker: bool, now: float
    ) -> Trade:
        """Book one fill of one order."""
        moment = now + self.skew
        trade = settlement.settle(order, account, fill, self.fees, maker=maker, now=moment)
        self._store.save_order(order)
        number = self._store.save_trade(trade)
        pair = PAIRS[order.pair]
        for asset in (pair.base.id, pair.quote.id):
            self._store.save_balance(account.name, asset, account.balances[asset])
        self._journal.record("order_filled", **order_fields(order), **_trade_fields(trade, order))
        if (fault := self._board.strike("fill_late", self.owner(order))) is not None:
            self.late[trade.id] = now + fault.delay_seconds
        self.outbox.put_order("trade", order, moment, settlement.numbered(trade, number))
        for entry in ledger.of_trade(trade, account.balances):
            self._enter(entry)
        if order.status == "closed":
            self.outbox.put_order("filled", order, moment)
        return trade

    def cancel(self, order: Order, account: Account, reason: CancelReason, now: float) -> None:
        """End an order that is not filled."""
        settlement.close(order, account, now + self.skew, reason=reason)
        self._store.save_order(order)
        self._journal.record(
            "order_cancelled", **order_fields(order), reason=reason, remaining=order.remaining
        )
        self.outbox.put_order("canceled", order, now + self.skew)

    def triggered(self, order: Order, now: float) -> None:
        """Record that an order was triggered."""
        self._store.save_order(order)
        self._journal.record("order_triggered", **order_fields(order))
        self.outbox.put_order("triggered", order, now + self.skew)

    def amended(self, order: Order, now: float) -> None:
        """Record that an order was amended."""
        self._store.save_order(order)
        self._journal.record("order_amended", **order_fields(order))
        self.outbox.put_order("amended", order, now + self.skew)

    def deposit(
        self, account: Account, asset: str, amount: Decimal, now: float, *, booked: bool = True
    ) -> str:
        """Book a deposit or withdrawal; return its reference, if it is in the ledger."""
        balance = account.move(asset, amount)
        self._store.save_balance(account.name, asset, balance)
        entry = ledger.of_deposit(account.name, asset, amount, balance, now + self.skew)
        self._journal.record(
            "money_moved",
            account=account.name,
            asset=asset,
            amount=amount,
            balance=balance,
            reference=entry.reference if booked else "",
        )
        if not booked:
            return ""
        self._enter(entry)
        return entry.reference

    def open_ledger(self, account: Account, now: float) -> None:
        """Start the ledger of an account that already has money."""
        for asset, amount in account.balances.items():
            self._enter(ledger.of_deposit(account.name, asset, amount, amount, now))

    def known(self, trade_id: str, now: float) -> bool:
        """Whether a trade may be reported."""
        return self.late.get(trade_id, 0.0) <= now

    def forget_late(self, now: float) -> None:
        """Drop the delayed trades that may be reported now."""
        if self.late:
            self.late = {name: due for name, due in self.late.items() if due > now}

    def _enter(self, entry: ledger.LedgerEntry) -> None:
        self._store.save_ledger_entry(entry)
        self.outbox.put_entry(entry)


def order_fields(order: Order) -> dict[str, object]:
    """Return the fields of an order in every journal entry."""
    return {
        "account": order.account,
        "order": order.id,
        "client_order_id": order.client_order_id,
        "symbol": PAIRS[order.pair].symbol,
        "side": order.side,
        "type": order.kind,
        "volume": order.volume,
        "price": order.price,
        "trigger_price": order.trigger_price,
        "key": order.key,
    }


def _trade_fields(trade: Trade, order: Order) -> dict[str, object]:
    return {
        "trade": trade.id,
        "fill_price": trade.price,
        "fill_volume": trade.volume,
        "cost": trade.cost,
        "fee": trade.fee,
        "maker": trade.maker,
        "remaining": order.remaining,
    }
