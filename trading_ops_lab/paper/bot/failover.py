"""What a bot with standby instances needs in addition to a single one."""

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
"""Components of a standby; the others start at the takeover."""

CLOSING = ("components", "store", "watchers", "agent")
"""Shutdown steps of a standby: it has no orders at the venue."""

RELEASE_SECONDS = 1.0
"""Deadline for the release of the lease."""

CONNECTION_SECONDS = 3.0
"""Time limit for one transaction on the lease or the shared holds."""


class Ending(StrEnum):
    """Why an instance ends; the first cause counts."""

    REQUESTED = "requested"
    """A signal requested it."""

    REPLACED = "replaced"
    """Another instance leads."""

    STEPS_DOWN = "steps_down"
    """It was requested to release the lease."""


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
        """Set everything up without a connection.

        Args:
            settings: of the shared records.
            bot: the bot's name, the same for all its instances.
            instance: this one's name.
            url: of the database.
            key: the API key.
            nonce_dir: used by this instance only.
            metrics: of the bot.

        Raises:
            ConfigError: the PostgreSQL driver is not installed.
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
    def reader(self) -> BoundedConnection:
        """Return the connection that reads the records, also of a standby."""
        return self._connections[2]

    @property
    def may_submit(self) -> bool:
        """Return whether an order may be sent now."""
        return self.leadership is not None and self.leadership.may_submit

    @property
    def permit(self) -> Permit:
        """Return the permit that the broker checks before each request to the venue."""
        return permit_while(lambda: self.may_submit)

    @property
    def role(self) -> str:
        """Return `leader` or `standby`; an instance with an unconfirmed lease is a standby."""
        return "leader" if self.may_submit else "standby"

    @property
    def watched_at(self) -> float | None:
        """Return when a standby last checked the lease, in seconds since the epoch."""
        return self.leadership.watched_at if self.leadership else None

    @property
    def warm(self) -> bool:
        """Return whether the strategy has had enough warm-up steps."""
        return self.leadership is not None and self.leadership.warm

    async def wait_for_end(self, end: asyncio.Event) -> Ending:
        """Wait until another instance leads, this one must step down, or `end` is set.

        An instance that is replaced, or requested to step down, during its shutdown continues it.
        """
        if self.leadership is None:
            return Ending.REQUESTED
        causes = {
            Ending.REQUESTED: end,
            Ending.REPLACED: self.leadership.replaced,
            Ending.STEPS_DOWN: self.leadership.stepping_down,
        }
        waits = {
            ending: asyncio.create_task(event.wait(), name=ending)
            for ending, event in causes.items()
        }
        try:
            await asyncio.wait(waits.values(), return_when=asyncio.FIRST_COMPLETED)
            return next(ending for ending, wait in waits.items() if wait.done())
        finally:
            for wait in waits.values():
                wait.cancel()

    def steps(self, steps: Sequence[ShutdownStep]) -> tuple[ShutdownStep, ...]:
        """Return the shutdown steps; those of a leader include the release of the lease."""
        if self.leadership is None or not self.leadership.leading:
            return tuple(step for step in steps if step.name in CLOSING)
        release = ShutdownStep(name="lease", seconds=RELEASE_SECONDS, run=self.lease.release)
        after = next(n for n, step in enumerate(steps, 1) if step.name == "store")
        return (*steps[:after], release, *steps[after:])

    def driver(self) -> "PostgresqlDriver":
        """Return the driver of the records; the lease fences every transaction."""
        return _driver(self._url, self._bot, lease=self.lease)

    def nonces(self, store: Store) -> Nonces:
        """Return the key's nonces; none are issued before `open_nonces`.

        A reserved ceiling is in the records before it is used, so that another instance starts
        above it. Only the leader may write there, so a replaced process gets no more nonces.
        """
        return Nonces(
            self._source,
            self._metrics,
            may_resync=lambda: self.lease.valid,
            publish=lambda ceiling: store.save_nonce_ceiling(self._key, ceiling),
        )

    async def open_nonces(self, store: Store) -> None:
        """Issue nonces above all that any instance has reserved.

        Raises:
            TradingOpsError: the ceiling cannot be read or stored.
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
        """Create the leadership component; call it once."""
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
    """Return the failover of a bot with shared records, or None without them.

    Raises:
        ConfigError: the file with the database URL cannot be read.
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
    """The part that the command uses."""

    failover: Failover | None


def leadership_commands(parts: Parts) -> dict[str, Command]:
    """Return the commands by name."""

    async def failover_bot(_params: Params) -> str:
        if parts.failover is None or parts.failover.leadership is None:
            raise CommandFailed("this bot has no standby instances: see docs/failover.md")
        try:
            standby = await parts.failover.leadership.step_down()
        except (StoreError, Unavailable) as error:
            raise CommandFailed(str(error)) from error
        return f"this instance shuts down and releases the lease; {standby} watches it"

    # Repeated at a later leader, it would make that one step down too.
    return {"failover_bot": Command(run=failover_bot, repeatable=False)}
