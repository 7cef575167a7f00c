"""What a bot with standby instances has that a single one has not."""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from trading_ops.agent import Command, CommandFailed, Params
from trading_ops.agent.state import Holds
from trading_ops.botkit.component import Unavailable
from trading_ops.botkit.leadership.component import Leadership
from trading_ops.botkit.leadership.connection import BoundedConnection
from trading_ops.botkit.leadership.deferred_nonces import DeferredSource
from trading_ops.botkit.leadership.lease import Lease
from trading_ops.botkit.leadership.permit import Permit, permit_while
from trading_ops.botkit.leadership.settings import SharedRecords
from trading_ops.botkit.leadership.shared_holds import SharedHolds
from trading_ops.botkit.nonces.issuer import Nonces
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.shutdown import ShutdownStep
from trading_ops.errors import ConfigError, StoreError
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.config import BotConfig, nonce_dir_of, read_secret

if TYPE_CHECKING:
    from trading_ops.botkit.records.postgresql import PostgresqlDriver

WATCHING = ("feed", "signals", "leadership")
"""Components of a standby; the others start when it takes over."""

CLOSING = ("components", "store", "watchers", "agent")
"""Steps of a standby's end: it has left nothing at the venue."""

RELEASE_SECONDS = 1.0

CONNECTION_SECONDS = 3.0
"""For one transaction on the lease or the holds."""


class Why(StrEnum):
    """Why an instance ends, the first that is true."""

    ASKED = "asked"
    """A signal asked for it."""

    REPLACED = "replaced"
    """Another instance leads."""

    STEPS_DOWN = "steps_down"
    """It was told to give its leadership up."""


class Failover:
    """The lease, the records, the nonces and the holds of one instance."""

    def __init__(
        self,
        settings: SharedRecords,
        *,
        bot: str,
        instance: str,
        url: str,
        key: str,
        nonce_dir: Path,
        metrics: BotMetrics,
    ) -> None:
        """Take where everything is; nothing is asked yet.

        Args:
            settings: of the shared records.
            bot: the bot's name, the same for all its instances.
            instance: this one's name.
            url: of the database.
            key: of the API.
            nonce_dir: of this instance alone.
            metrics: of the bot.

        Raises:
            ConfigError: what speaks to PostgreSQL is not installed.
        """
        self._settings = settings
        self._bot = bot
        self._url = url
        self._key = key
        self._metrics = metrics
        self._source = DeferredSource(nonce_dir, key)
        lease, writer, reader = (
            BoundedConnection(_driver(url, bot), name=name, timeout_seconds=CONNECTION_SECONDS)
            for name in ("lease", "holds-writer", "holds-reader")
        )
        self._connections = (lease, writer, reader)
        self.lease = Lease(
            lease,
            # Unique to this process: an earlier run of this instance is another holder.
            holder=f"{instance}@{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
            seconds=settings.lease_seconds,
            margin_seconds=settings.margin_seconds,
        )
        self.leadership: Leadership | None = None

    @property
    def may_submit(self) -> bool:
        """Say whether an order may be sent now."""
        return self.leadership is not None and self.leadership.may_submit

    @property
    def permit(self) -> Permit:
        """Return what is asked before each request to the venue."""
        return permit_while(lambda: self.may_submit)

    @property
    def role(self) -> str:
        """Return what this instance is now, for people; it may be unsure and then is a standby."""
        return "leader" if self.may_submit else "standby"

    @property
    def watched_at(self) -> float | None:
        """Return when a standby last looked at the lease, seconds since the epoch."""
        return self.leadership.watched_at if self.leadership else None

    @property
    def warm(self) -> bool:
        """Say whether the strategy has followed the market for long enough."""
        return self.leadership is not None and self.leadership.warm

    async def why_it_ends(self, end: asyncio.Event) -> Why:
        """Wait until another instance leads, it is to step down, or the end is asked for.

        Who was replaced while it ends goes on ending, and so does who is to step down.
        """
        if self.leadership is None:
            return Why.ASKED
        causes = {
            Why.ASKED: end,
            Why.REPLACED: self.leadership.replaced,
            Why.STEPS_DOWN: self.leadership.stepping_down,
        }
        waits = {why: asyncio.create_task(event.wait(), name=why) for why, event in causes.items()}
        try:
            await asyncio.wait(waits.values(), return_when=asyncio.FIRST_COMPLETED)
            return next(why for why, wait in waits.items() if wait.done())
        finally:
            for wait in waits.values():
                wait.cancel()

    def steps(self, steps: Sequence[ShutdownStep]) -> tuple[ShutdownStep, ...]:
        """Return the steps of an ordered end: a leader's also gives up the lease."""
        if self.leadership is None or not self.leadership.leading:
            return tuple(step for step in steps if step.name in CLOSING)
        release = ShutdownStep(name="lease", seconds=RELEASE_SECONDS, run=self.lease.release)
        after = next(n for n, step in enumerate(steps, 1) if step.name == "store")
        return (*steps[:after], release, *steps[after:])

    def driver(self) -> "PostgresqlDriver":
        """Return the driver of the records, which writes nothing without the lease."""
        return _driver(self._url, self._bot, lease=self.lease)

    def nonces(self, store: Store) -> Nonces:
        """Return the key's nonces; none is issued before `open_nonces`.

        What is reserved is in the records before it is used, so that another instance begins above
        it; and only the leader may write there, so a process that was replaced gets no more.
        """
        return Nonces(
            self._source,
            self._metrics,
            may_resync=lambda: self.lease.valid,
            publish=lambda ceiling: store.save_nonce_ceiling(self._key, ceiling),
        )

    async def open_nonces(self, store: Store) -> None:
        """Begin above all that any instance has reserved.

        Raises:
            TradingOpsError: it is not known, or cannot be kept.
        """
        self._source.open(await store.nonce_ceiling(self._key))

    def component(
        self,
        holds: Holds,
        *,
        take_over: Callable[[], Awaitable[None]],
        warm: Callable[[], Awaitable[object]],
        warm_seconds: float,
        warm_after: int,
    ) -> Leadership:
        """Return the component, made once."""
        self.leadership = Leadership(
            self._metrics,
            lease=self.lease,
            holds=SharedHolds(holds, writer=self._connections[1], reader=self._connections[2]),
            settings=self._settings,
            take_over=take_over,
            warm=warm,
            warm_seconds=warm_seconds,
            warm_after=warm_after,
        )
        return self.leadership

    def close(self) -> None:
        """Disconnect."""
        for connection in self._connections:
            connection.close()


def _driver(url: str, bot: str, *, lease: Lease | None = None) -> "PostgresqlDriver":
    try:
        from trading_ops.botkit.records.postgresql import (  # noqa: PLC0415 - only where needed
            PostgresqlDriver,
        )
    except ImportError as error:
        raise ConfigError(
            "records", "url_file", str(error), "install trading-ops[postgresql]"
        ) from error
    return PostgresqlDriver(url, bot, guard=lease.fence) if lease else PostgresqlDriver(url, bot)


def failover_of(config: BotConfig, key: str, metrics: BotMetrics) -> Failover | None:
    """Return what a bot with shared records needs; None for a single one.

    Raises:
        ConfigError: the address of the database cannot be read.
    """
    if config.records is None:
        return None
    return Failover(
        config.records,
        bot=config.name,
        instance=config.instance or config.name,
        url=read_secret(config.records.url_file),
        key=key,
        nonce_dir=nonce_dir_of(config),
        metrics=metrics,
    )


class Parts(Protocol):
    """What the command is for."""

    failover: Failover | None


def leadership_commands(parts: Parts) -> dict[str, Command]:
    """Return the command by its name."""

    async def failover_bot(_params: Params) -> str:
        if parts.failover is None or parts.failover.leadership is None:
            raise CommandFailed("this bot has no standby instances: see docs/failover.md")
        try:
            standby = await parts.failover.leadership.step_down()
        except (StoreError, Unavailable) as error:
            raise CommandFailed(str(error)) from error
        return f"the leadership is given up in an ordered end; {standby} watches it"

    # Done again by a later leader it would take the leadership from that one.
    return {"failover_bot": Command(run=failover_bot, repeatable=False)}
