"""The exchange itself: accounts, their orders, and market ticks.

Everything here is synchronous and runs in one thread, so an order is stored completely or not at
all. The caller commits before it answers the request.
"""

from collections.abc import Iterable
from decimal import Decimal

from trading_ops import clock
from trading_ops_lab.paper.venue import amending, market_tick, matching, settlement
from trading_ops_lab.paper.venue.account import Account
from trading_ops_lab.paper.venue.clearing import Clearing
from trading_ops_lab.paper.venue.config import VenueConfig
from trading_ops_lab.paper.venue.dead_man_switches import DeadManSwitches
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.events import Outbox
from trading_ops_lab.paper.venue.faults import Caller, FaultBoard
from trading_ops_lab.paper.venue.journal import Journal
from trading_ops_lab.paper.venue.limits import Limits
from trading_ops_lab.paper.venue.market import Market
from trading_ops_lab.paper.venue.matching import Taking
from trading_ops_lab.paper.venue.order_matching import OrderMatching
from trading_ops_lab.paper.venue.orders import CancelReason, NewOrder, Order, new_id
from trading_ops_lab.paper.venue.pairs import PAIRS, lots
from trading_ops_lab.paper.venue.prices import Walk
from trading_ops_lab.paper.venue.store import Store
from trading_ops_lab.paper.venue.trading_status import TradingStatus

ANY_CALLER = Caller()


class Engine:
    """All accounts and markets of the venue."""

    def __init__(
        self,
        config: VenueConfig,
        store: Store,
        journal: Journal,
        walk: Walk,
        markets: dict[str, Market],
        board: FaultBoard | None = None,
    ) -> None:
        """Continue with the stored state; new accounts get the configured funds."""
        self.fees = config.fees
        self._config, self._store, self._journal, self.walk = config, store, journal, walk
        self._board = board or FaultBoard()
        self.markets = markets
        self.outbox = Outbox()
        self.clearing = Clearing(store, journal, self._board, self.outbox, self.fees)
        self.accounts: dict[str, Account] = {}
        for name in config.accounts:
            self._restore(name)
        self.matcher = OrderMatching(self.accounts, markets, self.clearing)
        self.switches = DeadManSwitches(store.switches())
        self.status = TradingStatus(self._board)
        self.limits = Limits(self._board, config.tier)

    def add(
        self, account_name: str, new: NewOrder, now: float, caller: Caller = ANY_CALLER
    ) -> Order:
        """Accept an order: match it at once; the rest stays on the book or waits for its trigger.

        Raises:
            VenueRefusal: it is too small, unaffordable, a duplicate, post-only and would take
                liquidity, one too many, or the market is not open for it.
        """
        account = self.accounts[account_name]
        mine = self.find(account_name, pair=new.pair)
        self.limits.add(caller, new.pair, len(mine), now)
        order, taking = self.match(account, new, now)
        order.key = caller.key
        self.clearing.open(order, account, now)
        fault = self._board.strike("partial_cancel", caller)
        if fault is not None:
            smallest = matching.SMALLEST
            self.matcher.doomed[order.id] = max(smallest, lots(order.volume * Decimal(fault.share)))
        self.matcher.take(order, account, taking.fills, now)
        if order.status == "open" and not _stays(new, taking):
            reason: CancelReason = "self_trade" if taking.met_itself else "immediate"
            self.clearing.cancel(order, account, reason, now)
        return order

    def match(self, account: Account, new: NewOrder, now: float) -> tuple[Order, Taking]:
        """Create the order and find its fills; nothing is changed yet.

        Raises:
            VenueRefusal: as in `add`.
        """
        pair, market = PAIRS[new.pair], self.markets[new.pair]
        self.status.require_open(new)
        volume = new.volume
        if "viqc" in new.flags:
            volume = matching.affordable(new.volume, market.book.against(new.side))
        settlement.require_minimums(pair, new, volume, market.last.price)
        if new.client_order_id and self.find(account.name, client_order_id=new.client_order_id):
            raise VenueRefusal("EOrder:Duplicate cl_ord_id")
        order = _open(account.name, new, volume, now)
        order.opened_at += self.clearing.skew
        taking = Taking([], met_itself=False)
        if not order.asleep and self.status.matches(new.pair):
            taking = self.matcher.offers(account.name, new.side, volume, order)
        if "post" in new.flags and (taking.fills or taking.met_itself):
            raise VenueRefusal("EOrder:Post only order")
        if new.time_in_force == "FOK" and taking.volume < volume:
            raise VenueRefusal("EOrder:Fill or kill order could not be filled")
        settlement.require_funds(account, order, taking, self.fees)
        return order, taking

    def amend(
        self, account_name: str, order: Order, change: amending.Change, now: float, caller: Caller
    ) -> str:
        """Change an open order in place; return the amendment's id.

        Raises:
            VenueRefusal: the change is invalid or unaffordable, or the order is post-only and
                would take liquidity.
        """
        self.status.require_service()
        age = now + self.clearing.skew - (order.changed_at or order.opened_at)
        self.limits.amend(caller, order.pair, age, now)
        account = self.accounts[account_name]
        matches = self.status.matches(order.pair)
        amending.amend(self.matcher, account, order, change, now, matches=matches)
        return new_id("T")

    def cancel(
        self,
        account_name: str,
        orders: Iterable[Order],
        reason: CancelReason,
        now: float,
        caller: Caller = ANY_CALLER,
    ) -> int:
        """Cancel open orders; return how many."""
        account = self.accounts[account_name]
        orders = list(orders)
        for order in orders:
            age = now + self.clearing.skew - (order.changed_at or order.opened_at)
            self.limits.cancel(caller, order.pair, age, now)
            self.clearing.cancel(order, account, reason, now)
            self.matcher.doomed.pop(order.id, None)
        return len(orders)

    def find(
        self,
        account_name: str,
        *,
        order_id: str | None = None,
        client_order_id: str | None = None,
        user_reference: int | None = None,
        pair: str | None = None,
    ) -> list[Order]:
        """Return the account's open orders that match all conditions, oldest first."""
        return [
            order
            for order in self.accounts[account_name].open.values()
            if order_id in (None, order.id)
            and client_order_id in (None, order.client_order_id)
            and user_reference in (None, order.user_reference)
            and pair in (None, order.pair)
        ]

    def resting(self, pair_id: str) -> list[Order]:
        """Return all accounts' orders on the book of a pair, oldest first."""
        return self.matcher.resting(pair_id)

    def deposit(
        self, account_name: str, asset: str, amount: Decimal, now: float, *, booked: bool = True
    ) -> str:
        """Book a deposit, or a withdrawal if negative; return the reference.

        Without a ledger entry there is no reference, and only the balance changes.

        Raises:
            VenueRefusal: insufficient funds.
        """
        account = self.accounts[account_name]
        if account.available(asset, self.fees) + amount < 0:
            raise VenueRefusal("EFunding:Insufficient funds")
        return self.clearing.deposit(account, asset, amount, now, booked=booked)

    def arm(self, account_name: str, timeout: int, now: float) -> float | None:
        """Arm the account's dead man's switch; 0 seconds disarm. Return the deadline."""
        deadline = self.switches.arm(account_name, timeout, now)
        self._store.save_switch(account_name, deadline)
        if deadline is None:
            self._journal.record("dead_man_disarmed", account=account_name)
        else:
            self._journal.record("dead_man_armed", account=account_name, timeout=timeout)
        return deadline

    def step(self, now: float) -> None:
        """Advance all markets by one tick, and trigger the switches that are due."""
        self.walk.advance(self._config.tick_seconds)
        for pair_id, market in self.markets.items():
            if self.status.matches(pair_id):
                trade, closed = market.step(now)
                market_tick.fill_resting(self.matcher, market, trade, now)
                market_tick.wake(self.matcher, market, now)
            else:
                closed = market.pause(now)
            if closed is not None:
                keep_after = market.candles.closed[0].start
                self._store.save_candle(pair_id, closed, keep_after=keep_after)
        self.fire_switches(now)
        self.clearing.forget_late(now)
        self._store.save_fact("walk", self.walk.state)

    def fire_switches(self, now: float) -> None:
        """Cancel the orders of every account whose dead man's switch is due."""
        for name in self.switches.due(now):
            count = 0
            if name in self.accounts:
                count = self.cancel(name, self.find(name), "dead_man", now)
            self._store.save_switch(name, None)
            self._journal.record("dead_man_fired", account=name, count=count)

    def _restore(self, name: str) -> None:
        balances = self._store.balances(name)
        orders = sorted(self._store.open_orders(name), key=lambda order: order.opened_at)
        account = self.accounts[name] = Account(name, {}, orders)
        if not balances:
            for asset, amount in self._config.funds.items():
                self.clearing.deposit(account, asset, amount, clock.timestamp())
            return
        account.balances.update(balances)
        if not self._store.has_ledger(name):  # a state from before the ledger existed
            self.clearing.open_ledger(account, clock.timestamp())


def _open(account: str, new: NewOrder, volume: Decimal, now: float) -> Order:
    return Order(
        id=new_id("O"),
        account=account,
        pair=new.pair,
        side=new.side,
        kind=new.kind,
        volume=volume,
        price=new.price,
        trigger_price=new.trigger_price,
        time_in_force=new.time_in_force,
        flags=tuple(flag for flag in new.flags if flag != "viqc"),
        client_order_id=new.client_order_id,
        user_reference=new.user_reference,
        opened_at=now,
        queued_at=now,
    )


def _stays(new: NewOrder, taking: Taking) -> bool:
    if new.trigger_price is not None:
        return True
    return new.kind == "limit" and new.time_in_force == "GTC" and not taking.met_itself
