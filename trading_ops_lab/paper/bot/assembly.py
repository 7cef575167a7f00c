"""Creates the parts of the bot from its configuration: almost all of them are botkit's."""

import asyncio
from decimal import Decimal

from trading_ops import clock, logs
from trading_ops.agent import Agent, TradingHold, TradingState
from trading_ops.botkit.component import Component, Unavailable
from trading_ops.botkit.failpoints import BotFailpoint, reached
from trading_ops.botkit.leadership.component import Leadership
from trading_ops.botkit.leadership.permit import allow_all
from trading_ops.botkit.nonces.issuer import Nonces
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.checks import (
    Check,
    allowed_by_gate,
    deny_while,
    fresh_quote,
    large_enough,
)
from trading_ops.botkit.orders.order import VenueOrder
from trading_ops.botkit.orders.sync import OrderSync
from trading_ops.botkit.reconciliation.component import Reconciliation
from trading_ops.botkit.reconciliation.state import Policy
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.risk.guard import RiskGuard
from trading_ops.botkit.supervisor import Supervisor
from trading_ops.botkit.suspension import Suspension
from trading_ops.botkit.throttle import Throttle
from trading_ops.botkit.venue.broker import Broker
from trading_ops.botkit.venue.errors import VenueDown
from trading_ops.botkit.venue.rate_limit import RateLimitCounter
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.watchers import Progress, watchers_of
from trading_ops_lab.paper.bot.brokerage.account_news import Rest
from trading_ops_lab.paper.bot.brokerage.ccxt_kraken import kraken_class
from trading_ops_lab.paper.bot.brokerage.kraken import Kraken
from trading_ops_lab.paper.bot.brokerage.private_feed import AccountFeed
from trading_ops_lab.paper.bot.config import BotConfig
from trading_ops_lab.paper.bot.failover import Failover
from trading_ops_lab.paper.bot.feed import Feed
from trading_ops_lab.paper.bot.heartbeat import STEP_SECONDS, Heartbeat
from trading_ops_lab.paper.bot.mode import ModeSwitch
from trading_ops_lab.paper.bot.run_record import RunRecord
from trading_ops_lab.paper.bot.signals.component import Signals, advice_of
from trading_ops_lab.paper.bot.trading.orders import Orders

log = logs.get(__name__)

MODEL, PROBES = "model", "probes"
"""What a maintenance window suspends: the model, and readings of memory and tasks."""


class Assembly:
    """The parts of a bot; `Bot` creates the first ones, and starts and stops all of them."""

    metrics: BotMetrics
    agent: Agent
    store: Store
    book: Book
    mode: ModeSwitch
    feed: Feed
    nonces: Nonces
    failover: Failover | None
    stopping: bool
    throttle: Throttle
    suspension: Suspension
    _config: BotConfig
    _currencies: set[str]
    _key: str
    _secret: str

    async def _take_over(self, failover: Failover) -> None:
        """Continue where the last leader stopped."""
        raise NotImplementedError

    def _assemble(self) -> None:
        """Create the components and their supervisor."""
        self.broker = self._make_broker()
        self.signals = self._make_signals()
        self.risk = self._make_risk_guard()
        self.orders = self._make_orders()
        self.reconciliation = self._make_reconciliation()
        self.account_feed = self._make_account_feed()
        self.heartbeat = self._make_heartbeat()
        self.broker.pause = self.heartbeat.pause = self.throttle.pause
        self.run_record = RunRecord(
            self.metrics,
            self.store,
            interval_seconds=self._config.heartbeat_store_seconds,
            beat_at=lambda: self.heartbeat.beat_at,
            signal_prices=self.signals.prices_to_store,
        )
        components: tuple[Component, ...] = (
            self.store,
            self.broker,
            self.feed,
            self.signals,
            self.orders,
            self.reconciliation,
            self.risk,
            self.account_feed,
            self.heartbeat,
        )
        if self.failover is not None:
            # First, so that it stops last: the lease is renewed while the others stop.
            components = (self._make_leadership(self.failover), *components)
        self.supervisor = Supervisor(components)
        self._watchers = watchers_of(
            self.metrics,
            asyncio.get_running_loop(),
            on=self._config.watchers,
            progress=[self._progress(component) for component in components],
            suspended=lambda: self.suspension.is_suspended(PROBES),
        )

    def _make_broker(self) -> Broker:
        config = self._config
        return Broker(
            self.metrics,
            make_client=lambda: Kraken(
                address=config.venue_address,
                key=self._key,
                secret=self._secret,
                timeout_seconds=config.request_timeout_seconds,
                issue_nonce=self.nonces.issue,
            ),
            nonces=self.nonces,
            probe_interval_seconds=config.probe_interval_seconds,
            currencies=self._currencies,
            permit=self.failover.permit if self.failover else allow_all,
            rate_limit=RateLimitCounter(self.metrics, config.api_tier) if config.api_tier else None,
            prepare=kraken_class,
        )

    def _make_signals(self) -> Signals:
        config = self._config
        return Signals(
            self.metrics,
            symbols=config.symbols,
            fast=config.fast_samples,
            slow=config.slow_samples,
            advice=advice_of(
                config,
                self.metrics,
                record=self.book.record_events,
                suspended=lambda: self.suspension.is_suspended(MODEL),
            ),
            fallback=config.signals.fallback,
        )

    def _make_risk_guard(self) -> RiskGuard:
        return RiskGuard(
            self.metrics,
            limits=self._config.risk,
            symbols=self._config.symbols,
            stale_seconds=self._config.stale_seconds,
            book=self.book,
            store=self.store,
            holds=self.agent.holds,
            quotes=self.feed.quotes,
            minimum=self._minimum_order,
            balances_at=lambda: self.broker.balances_at,
        )

    def _make_orders(self) -> Orders:
        config = self._config
        sync = OrderSync(
            self.metrics,
            self.broker,
            self.book,
            on_orphan=self._compare_soon,
            lost_seconds=config.lost_order_seconds,
        )
        return Orders(
            self.metrics,
            bot=config.name,
            symbols=config.symbols,
            broker=self.broker,
            book=self.book,
            sync=sync,
            checks=(sync.check, *self._checks()),
            quotes=self.feed.quotes,
            notional=config.order_notional,
            lifetime_seconds=config.order_lifetime_seconds,
            decided=self.signals.decided_for,
            stop_percent=config.stop_percent,
        )

    def _checks(self) -> tuple[Check, ...]:
        """Return the checks that every order must pass, in the order in which they run."""
        return (
            deny_while("stopping", "the bot is stopping", lambda: self.stopping),
            deny_while(
                "not_leader",
                "another instance leads, or this one's lease is not confirmed",
                lambda: self.failover is not None and not self.failover.may_submit,
            ),
            deny_while(
                "recovering",
                "the recovery after the start is not complete",
                lambda: not self.reconciliation.recovered,
            ),
            fresh_quote(self._config.stale_seconds),
            large_enough,
            allowed_by_gate(self.agent.gate),
            deny_while("paper_mode", "the bot is in paper mode", lambda: self.mode.paper),
            *self.risk.checks,
        )

    def _make_reconciliation(self) -> Reconciliation:
        config = self._config
        return Reconciliation(
            self.metrics,
            broker=self.broker,
            book=self.book,
            store=self.store,
            order_lock=self.orders.lock,
            place_hold=self._place_hold,
            policy=Policy(
                orphaned_orders=config.orphaned_orders,
                external_trades=config.external_trades,
                lost_seconds=config.lost_order_seconds,
            ),
            interval_seconds=config.reconcile_seconds,
            currencies=self._currencies,
            downtime_seconds=lambda: self.run_record.previous.age_seconds,
        )

    def _make_account_feed(self) -> AccountFeed:
        async def orders(venue_ids: list[str]) -> list[VenueOrder]:
            return await self.broker.call("QueryOrders", lambda venue: venue.orders(venue_ids))

        return AccountFeed(
            self.metrics,
            address=self._config.venue_address,
            broker=self.broker,
            book=self.book,
            balances=self.broker.funds,
            rest=Rest(orders=orders, everything=self.orders.listen, compare=self._compare_soon),
            timeout_seconds=self._config.request_timeout_seconds,
        )

    def _make_heartbeat(self) -> Heartbeat:
        return Heartbeat(
            self.metrics,
            symbols=self._config.symbols,
            feed=self.feed,
            broker=self.broker,
            signals=self.signals,
            orders=self.orders,
            book=self.book,
            interval_seconds=self._config.pass_interval_seconds,
            dead_man_seconds=self._config.dead_man_seconds,
        )

    def _make_leadership(self, failover: Failover) -> Leadership:
        return failover.component(
            self.agent.holds,
            take_over=lambda: self._take_over(failover),
            warm=lambda: self.signals.ask(self.feed.quotes, within=STEP_SECONDS),
            warm_seconds=self._config.pass_interval_seconds,
            warm_after=self._config.slow_samples,
        )

    def _progress(self, component: Component) -> Progress:
        return Progress(
            component=component.name,
            limit_seconds=self._config.stuck_seconds,
            marker=lambda: component.last_success_at,
            has_work=lambda: self.supervisor.running(component.name) and component.has_work,
        )

    def _minimum_order(self, symbol: str) -> Decimal:
        try:
            return self.broker.client.rules(symbol).minimum
        except (VenueDown, KeyError):
            return Decimal(0)  # then dust counts as a position, which is the stricter choice

    def _compare_soon(self) -> None:
        self.reconciliation.check_soon()

    def _place_hold(self, hold_id: str, reason: str) -> None:
        """Halt the bot until an operator releases the hold; stored when this returns.

        Raises:
            Unavailable: it is in force and could not be stored; it would be lost on restart.
        """
        hold = TradingHold(
            id=hold_id,
            state=TradingState.HALTED,
            owner="recovery",
            reason=reason,
            at=clock.timestamp(),
        )
        try:
            reached(BotFailpoint.HOLD_PLACING)
            self.agent.holds.place(hold)
            reached(BotFailpoint.HOLD_STORED)
        except OSError as error:
            log.error("hold_not_stored", id=hold_id, error=str(error))  # noqa: TRY400 - raised below
            raise Unavailable(f"holds: {hold_id} is not stored: {error}") from error
