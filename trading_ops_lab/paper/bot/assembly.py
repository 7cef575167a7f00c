"""The bot's parts put together; what each does is in a folder of its own."""

import asyncio

from trading_ops import clock, logs
from trading_ops.agent import Agent, Hold, TradingState
from trading_ops.botkit.component import Component, Unavailable
from trading_ops.botkit.failpoints import Failpoint, reached
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
from trading_ops.botkit.orders.sync import OrderSync
from trading_ops.botkit.reconciliation.component import Reconciliation
from trading_ops.botkit.reconciliation.state import Policy
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.supervisor import Supervisor
from trading_ops.botkit.throttle import Throttle
from trading_ops.botkit.venue.broker import Broker
from trading_ops.botkit.venue.rate_limit import RateLimitCounter
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.watchers import Progress, watchers_of
from trading_ops_lab.paper.bot.brokerage.assembly import account_feed_of
from trading_ops_lab.paper.bot.brokerage.ccxt_kraken import kraken_class
from trading_ops_lab.paper.bot.brokerage.kraken import Kraken
from trading_ops_lab.paper.bot.config import BotConfig
from trading_ops_lab.paper.bot.failover import Failover
from trading_ops_lab.paper.bot.feed import Feed
from trading_ops_lab.paper.bot.heartbeat import STEP_SECONDS, Heartbeat
from trading_ops_lab.paper.bot.lifeline import Lifeline
from trading_ops_lab.paper.bot.mode import ModeSwitch
from trading_ops_lab.paper.bot.risk.assembly import guard_of, stop_percent
from trading_ops_lab.paper.bot.signals.assembly import advice_of
from trading_ops_lab.paper.bot.signals.component import Signals
from trading_ops_lab.paper.bot.trading.orders import Orders

log = logs.get(__name__)


class Assembled:
    """What a bot is made of; its start and its end are `Bot`'s."""

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
    _config: BotConfig
    _currencies: set[str]
    _key: str
    _secret: str

    async def _take_over(self, failover: Failover) -> None:
        """Begin where the last leader left off."""
        raise NotImplementedError

    def _assemble(self) -> None:
        config = self._config
        self.broker = Broker(
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
        self.signals = Signals(
            self.metrics,
            symbols=config.symbols,
            fast=config.fast_samples,
            slow=config.slow_samples,
            advice=advice_of(config, self.metrics, note=self.book.record_events),
            stand_in=config.signals.stand_in,
        )
        self.risk = guard_of(
            config,
            self.metrics,
            broker=self.broker,
            book=self.book,
            store=self.store,
            holds=self.agent.holds,
            quotes=self.feed.quotes,
        )
        sync = OrderSync(
            self.metrics,
            self.broker,
            self.book,
            on_orphan=self._compare_soon,
            lost_seconds=config.lost_order_seconds,
        )
        self.orders = Orders(
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
            stop_percent=stop_percent(config),
        )
        self.reconciliation = Reconciliation(
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
            downtime_seconds=lambda: self.lifeline.before.age_seconds,
        )
        self.account_feed = account_feed_of(
            config,
            self.metrics,
            broker=self.broker,
            book=self.book,
            listen=self.orders.listen,
            compare=self._compare_soon,
        )
        self.heartbeat = Heartbeat(
            self.metrics,
            symbols=config.symbols,
            feed=self.feed,
            broker=self.broker,
            signals=self.signals,
            orders=self.orders,
            book=self.book,
            interval_seconds=config.pass_interval_seconds,
            dead_man_seconds=config.dead_man_seconds,
        )
        self.lifeline = Lifeline(
            self.metrics,
            self.store,
            interval_seconds=config.heartbeat_store_seconds,
            beat_at=lambda: self.heartbeat.beat_at,
            remembered=self.signals.remembered,
        )
        parts: tuple[Component, ...] = (
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
            # First, so that it ends last: the lease is renewed while the others end.
            parts = (self._lead(self.failover), *parts)
        self.broker.pause = self.heartbeat.pause = self.throttle.pause
        self.supervisor = Supervisor(parts)
        self._watchers = watchers_of(
            self.metrics,
            asyncio.get_running_loop(),
            on=config.watchers,
            progress=[_progress(part, config.stuck_seconds, self.supervisor) for part in parts],
        )

    def _lead(self, failover: Failover) -> Leadership:
        return failover.component(
            self.agent.holds,
            take_over=lambda: self._take_over(failover),
            warm=lambda: self.signals.ask(self.feed.quotes, within=STEP_SECONDS),
            warm_seconds=self._config.pass_interval_seconds,
            warm_after=self._config.slow_samples,
        )

    def _compare_soon(self) -> None:
        self.reconciliation.check_soon()

    def _checks(self) -> tuple[Check, ...]:
        """Return what every order must pass, the plainest reason first."""
        return (
            deny_while("stopping", "the bot is stopping", lambda: self.stopping),
            deny_while(
                "not_leader",
                "another instance leads, or this one cannot be sure that it does",
                lambda: self.failover is not None and not self.failover.may_submit,
            ),
            deny_while(
                "recovering",
                "the comparison with the venue at the start has not ended well yet",
                lambda: not self.reconciliation.recovered,
            ),
            fresh_quote(self._config.stale_seconds),
            large_enough,
            allowed_by_gate(self.agent.gate),
            deny_while("paper_mode", "the bot is in paper mode", lambda: self.mode.paper),
            *self.risk.checks,
        )

    def _place_hold(self, hold_id: str, reason: str) -> None:
        """Halt the bot until a person lifts it; in force at once, and durable when this returns.

        Raises:
            Unavailable: it is in force, and could not be written: the next life would not know it.
        """
        hold = Hold(
            id=hold_id,
            state=TradingState.HALTED,
            owner="recovery",
            reason=reason,
            at=clock.timestamp(),
        )
        try:
            reached(Failpoint.HOLD_PLACING)
            self.agent.holds.lay(hold)
            reached(Failpoint.HOLD_STORED)
        except OSError as error:
            log.error("hold_not_stored", id=hold_id, error=str(error))  # noqa: TRY400 - it is said
            raise Unavailable(f"holds: {hold_id} is not stored: {error}") from error


def _progress(part: Component, limit_seconds: float, supervisor: Supervisor) -> Progress:
    return Progress(
        component=part.name,
        limit_seconds=limit_seconds,
        marker=lambda: part.last_success_at,
        has_work=lambda: supervisor.running(part.name) and part.has_work,
    )
