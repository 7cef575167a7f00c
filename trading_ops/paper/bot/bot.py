"""The bot: its parts put together, its start and its end."""

import asyncio
import fcntl
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from trading_ops import __version__, clock, logs
from trading_ops.agent import Agent, Health, Hold, TradingState
from trading_ops.errors import SetupError, TradingOpsError
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.entries.components import COMPONENTS
from trading_ops.instrument.watchers import Progress, watchers_of
from trading_ops.paper.bot.brokerage.assembly import account_feed_of, remember_balances
from trading_ops.paper.bot.brokerage.broker import Broker
from trading_ops.paper.bot.brokerage.ccxt_kraken import kraken_class
from trading_ops.paper.bot.brokerage.kraken import ENDPOINTS, Kraken
from trading_ops.paper.bot.checkpoints import Place, reached
from trading_ops.paper.bot.commands import commands_of
from trading_ops.paper.bot.component import Component
from trading_ops.paper.bot.config import BotConfig, nonce_dir_of, read_secret, split_address
from trading_ops.paper.bot.farewell import Farewell
from trading_ops.paper.bot.feed import Feed
from trading_ops.paper.bot.heartbeat import STEP_SECONDS, Heartbeat
from trading_ops.paper.bot.leadership.failover import WATCHING, Failover, failover_of
from trading_ops.paper.bot.leadership.standby import Leadership
from trading_ops.paper.bot.leadership.wire import always
from trading_ops.paper.bot.lifeline import Lifeline
from trading_ops.paper.bot.mode import ModeSwitch
from trading_ops.paper.bot.nonces.issuer import Nonces, open_nonces
from trading_ops.paper.bot.reconciliation.component import Reconciliation
from trading_ops.paper.bot.reconciliation.sides import Policy
from trading_ops.paper.bot.records.driver import QUEUE, Threaded
from trading_ops.paper.bot.records.events import Retention
from trading_ops.paper.bot.records.sqlite import SqliteDriver
from trading_ops.paper.bot.records.store import STATEMENTS, Store
from trading_ops.paper.bot.risk.assembly import guard_of, stop_percent
from trading_ops.paper.bot.shutdown import leave_at_once, walk
from trading_ops.paper.bot.signals.assembly import advice_of, sources_of
from trading_ops.paper.bot.signals.component import Signals
from trading_ops.paper.bot.signals.memory import recalled
from trading_ops.paper.bot.supervisor import Supervisor
from trading_ops.paper.bot.trading.book import Book
from trading_ops.paper.bot.trading.checks import (
    Check,
    fresh_quote,
    large_enough,
    let_through,
    not_while,
)
from trading_ops.paper.bot.trading.hearing import Hearing
from trading_ops.paper.bot.trading.orders import Orders

log = logs.get(__name__)

DAY_SECONDS = 86_400.0

STAGES = ("store", "signals", "orders")
"""Components in whose inbox work waits."""


class Bot:
    """One bot in one process.

    What it does not know is absent from its metrics, not zero: the venue does not tell its limits.
    """

    def __init__(self, config: BotConfig) -> None:
        """Read the secrets and take the state folder; nothing is asked yet.

        Raises:
            ConfigError: a secret cannot be read.
            SetupError: another process uses the state folder.
            StoreError: the database cannot be opened.
        """
        self._config = config
        self.stopping = False
        config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _lock(config.state_dir / "lock")
        self._undo = ExitStack()
        self._currencies = {part for symbol in config.symbols for part in symbol.split("/")}
        self.metrics = BotMetrics(
            version=__version__,
            mode=config.mode.value,
            symbols=config.symbols,
            currencies=self._currencies,
            endpoints=ENDPOINTS,
            components=(*COMPONENTS, "leadership") if config.records else COMPONENTS,
            standby=config.records is not None,
            sources=sources_of(config.signals),
            queues=[QUEUE, *STAGES],
            statements=STATEMENTS,
        )
        self._key = read_secret(config.key_file)
        self._secret = read_secret(config.secret_file)
        self.failover: Failover | None = failover_of(config, self._key, self.metrics)
        retention = Retention(
            kept_seconds=config.events_kept_days * DAY_SECONDS,
            kept_number=config.events_kept_number,
        )
        self.store = Store(self.metrics, self._open_records, retention=retention)
        self.book = Book(config.name, self.metrics, self.store)
        self.mode = ModeSwitch(config.name, config.mode, self.metrics, self.store, self.book)
        self.agent = self._make_agent()
        self.feed = Feed(
            self.metrics,
            address=config.venue_address,
            symbols=config.symbols,
            timeout_seconds=config.request_timeout_seconds,
            stale_seconds=config.stale_seconds,
        )

    async def start(self) -> None:
        """Restore what an earlier process left, open the agent's port, start the components.

        Raises:
            TradingOpsError: the store cannot be read, or the port is taken.
        """
        try:
            self.nonces = await self._open_nonces()
            self._undo.callback(self.nonces.close)
            self._assemble()
            if self.failover is None:
                await self._restore()
            self.agent.start()
            self._undo.callback(self.agent.stop)
            if self.failover is None:
                await self.lifeline.begin()
        except TradingOpsError:
            self._undo.close()
            await self.store.close()
            self._lock.close()
            raise
        if self.failover is not None:
            # What takes long is done ahead of a takeover.
            self._ahead = asyncio.create_task(asyncio.to_thread(kraken_class), name="ahead")
        self.supervisor.start(*(WATCHING if self.failover else ()))
        self._watchers.start()
        log.info("bot_started", bot=self._config.name, pid=os.getpid())

    async def _take_over(self, failover: Failover) -> None:
        """Begin where the last leader left off; may be called again after it failed.

        Raises:
            TradingOpsError: what it left cannot be read.
        """
        await self._ahead
        await self._restore()
        await failover.open_nonces(self.store)
        await self.lifeline.begin()
        self.supervisor.start()
        greeting = asyncio.create_task(self._compare_when_up(), name="greeting")
        self._undo.callback(greeting.cancel)

    async def _compare_when_up(self) -> None:
        """Recover as soon as the venue answers, not after the pause of a failed comparison."""
        await self.broker.wait_up()
        self.reconciliation.look_soon()

    async def _restore(self) -> None:
        self.book.restore(await self.store.load())
        await self.mode.restore()
        await remember_balances(self.broker, self.store)
        if self.failover is None or not self.failover.warm:
            await self._recall_signals()

    async def _open_nonces(self) -> Nonces:
        if self.failover is not None:
            return self.failover.nonces(self.store)
        return open_nonces(
            nonce_dir_of(self._config),
            self._key,
            self.metrics,
            sharing=self._config.nonces,
            # Earlier releases reserved in the records.
            floor=await self.store.nonce_ceiling(self._key),
        )

    def _open_records(self) -> Threaded:
        if self.failover is not None:
            return Threaded(self.failover.driver(), self.metrics)
        return Threaded(SqliteDriver(self._config.state_dir / "bot.db"), self.metrics)

    async def stop(self) -> tuple[str, ...]:
        """End in order; return the steps that failed or were late. Bounded, and never raises."""
        began = clock.monotonic()
        self.stopping = True
        farewell = Farewell(
            self,
            stops=stop_percent(self._config) is None,
            stop_watchers=self._watchers.stop,
        )
        steps = farewell.steps(self._config.shutdown)
        missed = await walk(self.failover.steps(steps) if self.failover else steps)
        self._close()
        seconds = round(clock.monotonic() - began, 3)
        log.info("bot_stopped", seconds=seconds, missed=list(missed))
        return missed

    async def interrupt(self) -> None:
        """End the process at once: nothing is sent any more, and the records are closed whole."""
        self.stopping = True
        if hasattr(self, "broker"):
            self.broker.seal()
        await leave_at_once(self.store.close)

    async def abandon(self) -> None:
        """End without a word to the venue: another instance leads, and looks after everything."""
        self.stopping = True
        self.broker.seal()
        await self.lifeline.drop()
        await self.supervisor.stop()
        await asyncio.to_thread(self._watchers.stop)
        await asyncio.to_thread(self.agent.stop)
        self._close()
        log.warning("bot_abandoned", reason="another instance leads")

    def _close(self) -> None:
        if self.failover is not None:
            self.failover.close()
        self._undo.close()
        self._lock.close()

    def health(self) -> Health:
        """Return the facts; plain reads, so any thread may ask."""
        failover = self.failover
        return Health(
            heartbeat_at=self.heartbeat.beat_at or (failover.watched_at if failover else None),
            components={
                name: component.health
                for name, component in self.supervisor.components.items()
                if self.supervisor.runs(name)
            },
            recovered=self.reconciliation.recovered,
            role=failover.role if failover else None,
        )

    async def _recall_signals(self) -> None:
        """Go on from the prices of an earlier life, if they are young enough."""
        prices = recalled(
            await self.lifeline.signals(),
            clock.timestamp(),
            within_seconds=self._config.signals_restore_seconds,
        )
        self.signals.resume(prices)
        log.info("signals_recalled", symbols=len(prices))

    def _make_agent(self) -> Agent:
        config = self._config
        return Agent(
            name=config.instance or config.name,
            address=split_address(config.agent_address, where="", key="agent_address"),
            metrics=self.metrics,
            health=self.health,
            commands=commands_of(self),
            state_dir=config.state_dir,
            metrics_token=read_secret(config.metrics_token_file),
            agent_token=read_secret(config.agent_token_file),
            heartbeat_limit_seconds=config.heartbeat_limit_seconds,
            trace_memory=config.trace_memory,
        )

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
            permit=self.failover.permit if self.failover else always,
        )
        self.signals = Signals(
            self.metrics,
            symbols=config.symbols,
            fast=config.fast_samples,
            slow=config.slow_samples,
            advice=advice_of(config, self.metrics, note=self.book.note),
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
        self.orders = Orders(
            self.metrics,
            bot=config.name,
            symbols=config.symbols,
            broker=self.broker,
            book=self.book,
            hearing=Hearing(
                self.broker,
                self.book,
                on_orphan=self._compare_soon,
                lost_seconds=config.lost_order_seconds,
            ),
            checks=self._checks(),
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
            turn=self.orders.turn,
            hold=self._hold,
            policy=Policy(
                orphans=config.orphaned_orders,
                strangers=config.external_trades,
                lost_seconds=config.lost_order_seconds,
            ),
            interval_seconds=config.reconcile_seconds,
            currencies=self._currencies,
            away_seconds=lambda: self.lifeline.before.age_seconds,
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
        self.reconciliation.look_soon()

    def _checks(self) -> tuple[Check, ...]:
        """Return what every order must pass, the plainest reason first."""
        return (
            not_while("stopping", "the bot is stopping", lambda: self.stopping),
            not_while(
                "not_leader",
                "another instance leads, or this one cannot be sure that it does",
                lambda: self.failover is not None and not self.failover.may_submit,
            ),
            not_while(
                "recovering",
                "the comparison with the venue at the start has not ended well yet",
                lambda: not self.reconciliation.recovered,
            ),
            fresh_quote(self._config.stale_seconds),
            large_enough,
            let_through(self.agent.gate),
            not_while("paper_mode", "the bot is in paper mode", lambda: self.mode.paper),
            *self.risk.checks,
        )

    def _hold(self, hold_id: str, reason: str) -> None:
        """Halt the bot until a person lifts it; in force at once, and durable when this returns."""
        hold = Hold(
            id=hold_id,
            state=TradingState.HALTED,
            owner="recovery",
            reason=reason,
            at=clock.timestamp(),
        )
        try:
            reached(Place.HOLDING)
            self.agent.holds.lay(hold)
            reached(Place.HELD)
        except OSError as error:
            log.error("hold_not_stored", id=hold_id, error=str(error))  # noqa: TRY400 - it is said


def _progress(part: Component, limit_seconds: float, supervisor: Supervisor) -> Progress:
    return Progress(
        component=part.name,
        limit_seconds=limit_seconds,
        marker=lambda: part.last_success_at,
        has_work=lambda: supervisor.runs(part.name) and part.has_work,
    )


def _lock(path: Path) -> TextIO:
    """Take the folder for this process: two with one key would fight over nonces and orders.

    Raises:
        SetupError: another process has it.
    """
    file = path.open("w", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise SetupError(
            f"another bot runs in {path.parent}: records in a file are for one process. Fix: stop"
            " it, name another state_dir, or have a standby with records in PostgreSQL, as"
            " docs/failover.md says"
        ) from error
    return file
