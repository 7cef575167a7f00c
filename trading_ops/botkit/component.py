"""A supervised part of the bot: one task, its health and its breaker."""

import asyncio
from abc import ABC, abstractmethod

from trading_ops import clock, logs
from trading_ops.agent import ComponentHealth
from trading_ops.botkit.circuit_breaker import Breaker, BreakerState
from trading_ops.errors import TradingOpsError
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)


class Unavailable(TradingOpsError):
    """A part cannot do its work now because of what it depends on; it is not its own fault."""


class Component(ABC):
    """Runs until it is cancelled; the supervisor starts it again when it ends before that."""

    def __init__(
        self,
        name: str,
        metrics: BotMetrics,
        *,
        threshold: int = 3,
        cool_off_seconds: float = 2.0,
    ) -> None:
        """Begin down.

        Args:
            name: as in metrics and commands.
            metrics: of the bot.
            threshold: failures in a row that open the breaker.
            cool_off_seconds: after which it is tried again.
        """
        self.name = name
        self.metrics = metrics
        self.breaker = Breaker(
            threshold=threshold, cool_off_seconds=cool_off_seconds, on_change=self._breaker_changed
        )
        self.last_success_at: float | None = None
        self.detail = "not started"
        self._up = asyncio.Event()

    @property
    def up(self) -> bool:
        """Say whether it does its work."""
        return self._up.is_set()

    @property
    def health(self) -> ComponentHealth:
        """Return its health; plain reads, so any thread may ask."""
        return ComponentHealth(up=self.up, last_success_at=self.last_success_at, detail=self.detail)

    @property
    def has_work(self) -> bool:
        """Say whether it has something to do; a plain read, so any thread may ask."""
        return True

    @abstractmethod
    async def run(self) -> None:
        """Work until cancelled; must call `mark` as it comes up and goes down."""

    async def close(self) -> None:
        """Give back what it holds; called before an ordered restart and at the end."""
        self.mark(up=False, detail="stopped")

    async def wait_up(self) -> None:
        """Wait until it is up."""
        await self._up.wait()

    def mark(self, *, up: bool, detail: str) -> None:
        """Say whether it can do its work, in a few words for people."""
        if up != self.up:
            log.info("component_changed", component=self.name, up=up, detail=detail)
        if up:
            self._up.set()
        else:
            self._up.clear()
        self.detail = detail
        self.metrics.component_up(self.name, up=up)

    def succeed(self) -> None:
        """Report a piece of work that was done."""
        self.breaker.succeed()
        self.last_success_at = clock.timestamp()
        self.metrics.component_succeeded(self.name, self.last_success_at)

    def fail(self, detail: str) -> None:
        """Report a piece of work that failed through its own fault."""
        self.detail = detail
        self.breaker.fail()

    def _breaker_changed(self, state: BreakerState) -> None:
        log.info("breaker_changed", component=self.name, state=state.name.lower())
        self.metrics.circuit_breaker(self.name, state)
