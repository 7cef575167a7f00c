"""A supervised component of the bot: one asyncio task with a health state and a circuit breaker."""

import asyncio
from abc import ABC, abstractmethod

from trading_ops import clock, logs
from trading_ops.agent import ComponentHealth
from trading_ops.botkit.circuit_breaker import BreakerState, CircuitBreaker
from trading_ops.errors import TradingOpsError
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)


class Unavailable(TradingOpsError):
    """A component cannot work now because a dependency is down; the component did not fail."""


class Component(ABC):
    """A task that runs until it is cancelled; the `Supervisor` restarts it when it ends earlier.

    Example:
        class Feed(Component):
            async def run(self) -> None:
                async with connect() as stream:
                    self.mark(up=True, detail="connected")
                    async for tick in stream:
                        self.succeed()
    """

    def __init__(
        self,
        name: str,
        metrics: BotMetrics,
        *,
        threshold: int = 3,
        cool_off_seconds: float = 2.0,
    ) -> None:
        """Start down, with a closed breaker.

        Args:
            name: the component's name in metrics and commands.
            metrics: of the bot.
            threshold: consecutive failures that open the breaker.
            cool_off_seconds: pause before the next trial once the breaker is open.
        """
        self.name = name
        self.metrics = metrics
        self.breaker = CircuitBreaker(
            threshold=threshold, cool_off_seconds=cool_off_seconds, on_change=self._breaker_changed
        )
        self.last_success_at: float | None = None
        """Seconds since the epoch; None before the first success."""

        self.detail = "not started"
        """A short description of the state."""

        self._up = asyncio.Event()

    @property
    def up(self) -> bool:
        """Return whether the component works."""
        return self._up.is_set()

    @property
    def health(self) -> ComponentHealth:
        """Return the health for the agent. Thread-safe."""
        return ComponentHealth(up=self.up, last_success_at=self.last_success_at, detail=self.detail)

    @property
    def has_work(self) -> bool:
        """Return whether the component has something to do. Thread-safe."""
        return True

    @abstractmethod
    async def run(self) -> None:
        """Work until cancelled; call `mark` whenever the component comes up or goes down."""

    async def close(self) -> None:
        """Release what the component holds; called before a restart and at shutdown."""
        self.mark(up=False, detail="stopped")

    async def wait_up(self) -> None:
        """Wait until the component is up."""
        await self._up.wait()

    def mark(self, *, up: bool, detail: str) -> None:
        """Set the health state.

        Args:
            up: whether the component works.
            detail: a short reason, for humans.
        """
        if up != self.up:
            log.info("component_changed", component=self.name, up=up, detail=detail)
        if up:
            self._up.set()
        else:
            self._up.clear()
        self.detail = detail
        self.metrics.component_up(self.name, up=up)

    def succeed(self) -> None:
        """Record a unit of work that succeeded."""
        self.breaker.succeed()
        self.last_success_at = clock.timestamp()
        self.metrics.component_succeeded(self.name, self.last_success_at)

    def fail(self, detail: str) -> None:
        """Record a failure of the component itself; do not call this for `Unavailable`."""
        self.detail = detail
        self.breaker.fail()

    def _breaker_changed(self, state: BreakerState) -> None:
        log.info("breaker_changed", component=self.name, state=state.name.lower())
        self.metrics.circuit_breaker(self.name, state)
