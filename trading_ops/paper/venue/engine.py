"""The exchange itself: accounts, their orders, and the steps in which the market moves.

Everything here is synchronous and runs in one thread, so an order is whole or not there at all.
Whoever calls commits: the rest of a request, and then its answer.
"""

from collections.abc import Iterable
from decimal import Decimal

from trading_ops.paper.venue import matching, settlement
from trading_ops.paper.venue.account import Account
from trading_ops.paper.venue.config import VenueConfig
from trading_ops.paper.venue.crowd import CrowdTrade
from trading_ops.paper.venue.deadman import DeadManSwitches
from trading_ops.paper.venue.errors import VenueRefusal
from trading_ops.paper.venue.journal import Journal
from trading_ops.paper.venue.market import Market
from trading_ops.paper.venue.matching import Fill, Taking
from trading_ops.paper.venue.orders import CancelReason, NewOrder, Order, Side, new_id
from trading_ops.paper.venue.pairs import PAIRS
from trading_ops.paper.venue.prices import Walk
from trading_ops.paper.venue.store import Store


class Engine:
    """All accounts and markets of the venue."""

    def __init__(
        self,
        config: VenueConfig,
        store: Store,
        journal: Journal,
        walk: Walk,
        markets: dict[str, Market],
    ) -> None:
        """Take over what was stored; accounts that are new get the configured funds."""
        self.fees = config.fees
        self._config, self._store, self._journal, self.walk = config, store, journal, walk
        self.markets = markets
        self.accounts = {name: self._restore(name) for name in config.accounts}
        self.switches = DeadManSwitches(store.switches())

    def add(self, account_name: str, new: NewOrder, now: float) -> Order:
        """Take an order in: match it at once, and let the rest of it rest.

        Raises:
            VenueRefusal: it is too small, unaffordable, a double, or post-only and would take.
        """
        account = self.accounts[account_name]
        order, taking = self.match(account, new, now)
        self._journal.record("order_added", **_told(order))
        account.open[order.id] = order
        for fill in taking.fills:
            self._take(order, account, fill, now)
        if order.status == "open" and not _rests(new, taking):
            reason: CancelReason = "self_trade" if taking.met_itself else "immediate"
            self._cancel(order, account, reason, now)
        self._store.save_order(order)
        return order

    def match(self, account: Account, new: NewOrder, now: float) -> tuple[Order, Taking]:
        """Make the order and find its fills; nothing is changed yet.

        Raises:
            VenueRefusal: as in `add`.
        """
        pair, market = PAIRS[new.pair], self.markets[new.pair]
        levels = market.book.against(new.side)
        volume = new.volume
        if "viqc" in new.flags:
            volume = matching.affordable(new.volume, levels)
        settlement.require_minimums(pair, new, volume, market.last.price)
        if new.client_order_id and self.find(account.name, client_order_id=new.client_order_id):
            raise VenueRefusal("EOrder:Duplicate cl_ord_id")
        taking = matching.take(
            account.name, new.side, volume, new.price, levels, self.resting(new.pair)
        )
        if "post" in new.flags and (taking.fills or taking.met_itself):
            raise VenueRefusal("EOrder:Post only order")
        if new.time_in_force == "FOK" and taking.volume < volume:
            raise VenueRefusal("EOrder:Fill or kill order could not be filled")
        order = _open(account.name, new, volume, now)
        settlement.require_funds(account, order, taking, self.fees)
        return order, taking

    def cancel(
        self, account_name: str, orders: Iterable[Order], reason: CancelReason, now: float
    ) -> int:
        """Cancel open orders; return how many."""
        account = self.accounts[account_name]
        orders = list(orders)
        for order in orders:
            self._cancel(order, account, reason, now)
            self._store.save_order(order)
        return len(orders)

    def find(
        self,
        account_name: str,
        *,
        order_id: str | None = None,
        client_order_id: str | None = None,
        user_reference: int | None = None,
    ) -> list[Order]:
        """Return the account's open orders that match all that is given, oldest first."""
        return [
            order
            for order in self.accounts[account_name].open.values()
            if order_id in (None, order.id)
            and client_order_id in (None, order.client_order_id)
            and user_reference in (None, order.user_reference)
        ]

    def resting(self, pair_id: str) -> list[Order]:
        """Return all accounts' open orders of a pair, oldest first."""
        orders = [o for a in self.accounts.values() for o in a.open.values() if o.pair == pair_id]
        return sorted(orders, key=lambda order: order.opened_at)

    def arm(self, account_name: str, timeout: int, now: float) -> float | None:
        """Arm the account's dead-man switch; 0 seconds disarm. Return the deadline."""
        deadline = self.switches.arm(account_name, timeout, now)
        self._store.save_switch(account_name, deadline)
        if deadline is None:
            self._journal.record("dead_man_disarmed", account=account_name)
        else:
            self._journal.record("dead_man_armed", account=account_name, timeout=timeout)
        return deadline

    def step(self, now: float) -> None:
        """Move all markets by one step, and fire the switches that are due."""
        self.walk.advance(self._config.tick_seconds)
        for pair_id, market in self.markets.items():
            trade, closed = market.step(now)
            if closed is not None:
                keep_after = market.candles.closed[0].start
                self._store.save_candle(pair_id, closed, keep_after=keep_after)
            self._fill_resting(market, trade, now)
        self.fire_switches(now)
        self._store.save_fact("walk", self.walk.state)

    def fire_switches(self, now: float) -> None:
        """Cancel the orders of every account whose dead-man switch is due."""
        for name in self.switches.due(now):
            count = 0
            if name in self.accounts:
                count = self.cancel(name, self.find(name), "dead_man", now)
            self._store.save_switch(name, None)
            self._journal.record("dead_man_fired", account=name, count=count)

    def _fill_resting(self, market: Market, trade: CrowdTrade, now: float) -> None:
        """Let the crowd meet the resting orders, those with the best price first."""
        orders = self.resting(market.pair.id)
        orders.sort(key=lambda o: -(o.price or 0) if o.side == "buy" else (o.price or 0))
        for order in orders:
            for fill in matching.crossing(order, market.book.against(order.side)):
                self._rest_filled(market, order, fill, now)
        supply, dice = trade.volume, market.dice("hit")
        for order in orders:
            if order.status == "open" and order.price is not None:
                volume = matching.hit(order, trade, supply, dice)
                supply -= volume
                if volume:
                    self._rest_filled(market, order, Fill(order.price, volume), now)
        if supply:
            market.print(trade.price, supply, trade.side, "market", now)

    def _rest_filled(self, market: Market, order: Order, fill: Fill, now: float) -> None:
        taker: Side = "sell" if order.side == "buy" else "buy"
        self._settle(order, self.accounts[order.account], fill, maker=True, now=now)
        self._store.save_order(order)
        market.print(fill.price, fill.volume, taker, "market", now)

    def _take(self, order: Order, account: Account, fill: Fill, now: float) -> None:
        self._settle(order, account, fill, maker=False, now=now)
        if fill.resting is not None:
            other = self.accounts[fill.resting.account]
            self._settle(fill.resting, other, fill, maker=True, now=now)
            self._store.save_order(fill.resting)
        self.markets[order.pair].print(fill.price, fill.volume, order.side, order.kind, now)

    def _settle(
        self, order: Order, account: Account, fill: Fill, *, maker: bool, now: float
    ) -> None:
        trade = settlement.settle(order, account, fill, self.fees, maker=maker, now=now)
        if fill.level is not None:
            fill.level.volume -= fill.volume
        self._store.save_trade(trade)
        pair = PAIRS[order.pair]
        for asset in (pair.base.id, pair.quote.id):
            self._store.save_balance(account.name, asset, account.balances[asset])
        self._journal.record(
            "order_filled",
            **_told(order),
            trade=trade.id,
            fill_price=trade.price,
            fill_volume=trade.volume,
            cost=trade.cost,
            fee=trade.fee,
            maker=maker,
            remaining=order.remaining,
        )

    def _cancel(self, order: Order, account: Account, reason: CancelReason, now: float) -> None:
        settlement.close(order, account, now, reason=reason)
        self._journal.record(
            "order_cancelled", **_told(order), reason=reason, remaining=order.remaining
        )

    def _restore(self, name: str) -> Account:
        balances = self._store.balances(name)
        if not balances:
            balances = dict(self._config.funds)
            for asset, amount in balances.items():
                self._store.save_balance(name, asset, amount)
        orders = sorted(self._store.open_orders(name), key=lambda order: order.opened_at)
        return Account(name, balances, orders)


def _open(account: str, new: NewOrder, volume: Decimal, now: float) -> Order:
    return Order(
        id=new_id("O"),
        account=account,
        pair=new.pair,
        side=new.side,
        kind=new.kind,
        volume=volume,
        price=new.price,
        flags=tuple(flag for flag in new.flags if flag != "viqc"),
        client_order_id=new.client_order_id,
        user_reference=new.user_reference,
        opened_at=now,
    )


def _rests(new: NewOrder, taking: Taking) -> bool:
    return new.kind == "limit" and new.time_in_force == "GTC" and not taking.met_itself


def _told(order: Order) -> dict[str, object]:
    """Return what every journal entry tells of an order."""
    return {
        "account": order.account,
        "order": order.id,
        "client_order_id": order.client_order_id,
        "symbol": PAIRS[order.pair].symbol,
        "side": order.side,
        "type": order.kind,
        "volume": order.volume,
        "price": order.price,
    }
