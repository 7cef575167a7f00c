"""The bot: starts, stops and takes over, and reports its health."""

import asyncio
import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from trading_ops import __version__, clock, logs
from trading_ops.agent import Agent, Health
from trading_ops.botkit.nonces.issuer import Nonces, open_nonces
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.events import journal_event, repeat_events
from trading_ops.botkit.records.driver import QUEUE, ThreadedDatabase
from trading_ops.botkit.records.events import EventRetention
from trading_ops.botkit.records.sqlite import SqliteDriver
from trading_ops.botkit.records.store import STATEMENTS, Store
from trading_ops.botkit.shutdown import exit_now, run_steps
from trading_ops.botkit.suspension import Suspension
from trading_ops.botkit.throttle import Throttle
from trading_ops.botkit.venue.adapter import ENDPOINTS
from trading_ops.botkit.venue.balances import FACT, LastGood
from trading_ops.config.secret_files import TokenFile
from trading_ops.errors import StoreError, TradingOpsError
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.topics.components import COMPONENTS
from trading_ops_lab.paper.bot.assembly import MODEL, PROBES, Assembly
from trading_ops_lab.paper.bot.brokerage.ccxt_kraken import kraken_class
from trading_ops_lab.paper.bot.commands import commands_of
from trading_ops_lab.paper.bot.config import (
    BotConfig,
    lock_state_dir,
    nonce_dir_of,
    read_secret,
    split_address,
)
from trading_ops_lab.paper.bot.drills import drill_commands
from trading_ops_lab.paper.bot.failover import WATCHING, Failover, failover_of
from trading_ops_lab.paper.bot.feed import Feed
from trading_ops_lab.paper.bot.heartbeat import RENEWALS_PER_TIMEOUT
from trading_ops_lab.paper.bot.mode import ModeSwitch
from trading_ops_lab.paper.bot.shutdown_sequence import ShutdownSequence
from trading_ops_lab.paper.bot.signals.component import sources_of
from trading_ops_lab.paper.bot.signals.prices import recent_prices

log = logs.get(__name__)

DAY_SECONDS = 86_400.0
STAGES = ("store", "signals", "orders")
"""Components with an inbox, for the queue metrics."""


class Bot(Assembly):
    """One bot in one process. Unknown values are absent from its metrics, not zero."""

    def __init__(self, config: BotConfig) -> None:
        """Read the secrets, lock the state folder and create the parts that need no venue.

        Raises:
            ConfigError: a secret cannot be read.
            SetupError: another process uses the state folder.
            StoreError: the database cannot be opened.
        """
        self._config = config
        self.stopping = False
        config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = lock_state_dir(config.state_dir / "lock")
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
        retention = EventRetention(
            kept_seconds=config.events_kept_days * DAY_SECONDS,
            kept_number=config.events_kept_number,
        )
        self.store = Store(self.metrics, self._open_records, retention=retention)
        self.book = Book(config.name, self.metrics, self.store)
        self.mode = ModeSwitch(
            config.name,
            config.mode,
            self.metrics,
            self.store,
            self.book,
            state_dir=config.state_dir,
        )
        self.throttle = Throttle(
            self.metrics,
            max_pause_seconds=min(
                config.dead_man_seconds / RENEWALS_PER_TIMEOUT, config.heartbeat_limit_seconds / 2
            ),
        )
        self.suspension = Suspension({MODEL, PROBES})
        self.agent = self._make_agent()
        self.book.on_event = partial(journal_event, self.agent.events)
        self.feed = Feed(
            self.metrics,
            address=config.venue_address,
            symbols=config.symbols,
            timeout_seconds=config.request_timeout_seconds,
            stale_seconds=config.stale_seconds,
        )

    async def start(self) -> None:
        """Restore the state, open the agent's port and start the components.

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
            await self._repeat_events()
            if self.failover is None:
                await self.run_record.begin()
        except TradingOpsError:
            self._undo.close()
            await self.store.close()
            self._lock.close()
            raise
        if self.failover is not None:
            # Slow imports happen before a takeover.
            self._preparing = asyncio.create_task(asyncio.to_thread(kraken_class), name="prepare")
        self.supervisor.start(*(WATCHING if self.failover else ()))
        self._watchers.start()
        log.info("bot_started", bot=self._config.name, pid=os.getpid())

    async def observe(self, *names: str) -> None:
        """Start without the account and the agent's port: restore the state, run some components.

        Raises:
            TradingOpsError: the state cannot be read.
        """
        self.nonces = await self._open_nonces()
        self._undo.callback(self.nonces.close)
        self._assemble()
        await self._restore()
        await self.run_record.begin()
        self.supervisor.start(*names)

    async def end_observing(self) -> None:
        """Stop what `observe` started."""
        if hasattr(self, "supervisor"):
            await self.supervisor.stop()
        await self.store.close()
        self._close()

    async def _take_over(self, failover: Failover) -> None:
        """Continue where the last leader stopped; called again after a failure.

        Raises:
            TradingOpsError: the records cannot be read.
        """
        await self._preparing
        await self._restore()
        await failover.open_nonces(self.store)
        await self.run_record.begin()
        self.supervisor.start()
        comparing = asyncio.create_task(self._compare_when_up(), name="first-comparison")
        self._undo.callback(comparing.cancel)

    async def _compare_when_up(self) -> None:
        """Compare as soon as the venue answers, without the pause after a failed comparison."""
        await self.broker.wait_up()
        self.reconciliation.check_soon()

    async def _restore(self) -> None:
        self.book.restore(await self.store.load())
        await self.mode.restore()
        await self._restore_balances()
        if self.failover is None or not self.failover.warm:
            await self._restore_signals()

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

    def _open_records(self) -> ThreadedDatabase:
        if self.failover is not None:
            return ThreadedDatabase(self.failover.driver(), self.metrics)
        return ThreadedDatabase(SqliteDriver(self.records_file), self.metrics)

    @property
    def records_file(self) -> Path:
        """The file of the records, without failover."""
        return self._config.state_dir / "bot.db"

    async def stop(self) -> tuple[str, ...]:
        """Shut down gracefully within the deadlines; return the steps that failed. Never raises."""
        began = clock.monotonic()
        self.stopping = True
        sequence = ShutdownSequence(
            self, stops=self._config.stop_percent is None, stop_watchers=self._watchers.stop
        )
        steps = sequence.steps(self._config.shutdown)
        missed = await run_steps(self.failover.steps(steps) if self.failover else steps)
        self._close()
        seconds = round(clock.monotonic() - began, 3)
        log.info("bot_stopped", seconds=seconds, missed=list(missed))
        return missed

    async def interrupt(self) -> None:
        """End the process at once: send nothing more, and close the records cleanly."""
        self.stopping = True
        if hasattr(self, "broker"):
            self.broker.stop_sending()
        await exit_now(self.store.close)

    async def abandon(self) -> None:
        """Stop without a request to the venue: another instance leads and manages the orders."""
        self.stopping = True
        self.broker.stop_sending()
        await self.run_record.cancel()
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
        """Return the bot's health; safe to call from any thread."""
        failover = self.failover
        return Health(
            heartbeat_at=self.heartbeat.beat_at or (failover.watched_at if failover else None),
            components={
                name: component.health
                for name, component in self.supervisor.components.items()
                if self.supervisor.running(name)
            },
            recovered=self.reconciliation.recovered,
            role=failover.role if failover else None,
        )

    async def _repeat_events(self) -> None:
        if self.failover is None:
            await repeat_events(self.store, self.agent.events)
        else:
            instance = self._config.instance or self._config.name
            await repeat_events(self.failover.reader, self.agent.events, instance=instance)

    async def _restore_signals(self) -> None:
        """Continue from the prices of an earlier run, if they are recent enough."""
        prices = recent_prices(
            await self.run_record.signals(),
            clock.timestamp(),
            within_seconds=self._config.signals_restore_seconds,
        )
        self.signals.resume(prices)
        log.info("signals_restored", symbols=len(prices))

    async def _restore_balances(self) -> None:
        """Restore the last known balances, and store them from now on."""
        try:
            last = await self.store.fact(FACT, LastGood)
        except StoreError as error:
            log.warning("balances_unreadable", error=str(error))
        else:
            if last is not None:
                self.broker.funds.restore(last)
        self.broker.prober.store_last_good = lambda known: self.store.set_fact(FACT, known)

    def _make_agent(self) -> Agent:
        config = self._config
        return Agent(
            name=config.instance or config.name,
            address=split_address(config.agent_address, where="", key="agent_address"),
            metrics=self.metrics,
            health=self.health,
            commands=commands_of(self)
            | drill_commands(self.metrics, config.state_dir, allowed=config.drills),
            state_dir=config.state_dir,
            metrics_token=read_secret(config.metrics_token_file),
            agent_token=TokenFile.of_agent(config.agent_token_file),
            heartbeat_limit_seconds=config.heartbeat_limit_seconds,
            holds_wait_seconds=config.holds_wait_seconds,
            trace_memory=config.trace_memory,
        )
