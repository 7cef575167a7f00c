"""A circuit breaker: stops calls to a dependency that keeps failing, and retries after a pause."""

from collections.abc import Callable
from enum import IntEnum

from trading_ops import clock


class BreakerState(IntEnum):
    """The state; the numbers are the values of the metric `trading_circuit_breaker_state`."""

    CLOSED = 0
    """Every call is allowed."""

    HALF_OPEN = 1
    """One trial call is in progress; other calls are rejected until it ends."""

    OPEN = 2
    """Every call is rejected until the cool-off is over."""


class CircuitBreaker:
    """Opens after consecutive failures and allows one trial call after each cool-off.

    Example:
        breaker = CircuitBreaker(threshold=3, cool_off_seconds=2.0)
        if breaker.allow():
            try:
                await call()
            except OSError:
                breaker.fail()
            else:
                breaker.succeed()
    """

    def __init__(
        self,
        *,
        threshold: int,
        cool_off_seconds: float,
        on_change: Callable[[BreakerState], None] = lambda _: None,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        """Start closed.

        Args:
            threshold: consecutive failures that open it.
            cool_off_seconds: time from opening to the next trial call.
            on_change: called with each new state.
            monotonic: a monotonic clock in seconds.
        """
        self.state = BreakerState.CLOSED
        self._threshold = threshold
        self._cool_off = cool_off_seconds
        self._on_change = on_change
        self._monotonic = monotonic
        self._failures = 0
        self._opened_at = 0.0

    @property
    def closed(self) -> bool:
        """Return whether every call is allowed."""
        return self.state is BreakerState.CLOSED

    def allow(self) -> bool:
        """Return whether the next call may be made; after True call `succeed` or `fail`."""
        if self.state is BreakerState.OPEN and self.seconds_until_trial() <= 0:
            self._set_state(BreakerState.HALF_OPEN)
            return True
        return self.closed

    def seconds_until_trial(self) -> float:
        """Return the time until a trial call is allowed; 0 or less when it is not cooling off."""
        if self.state is not BreakerState.OPEN:
            return 0.0
        return self._opened_at + self._cool_off - self._monotonic()

    def succeed(self) -> None:
        """Record a successful call: close, and forget earlier failures."""
        self._failures = 0
        self._set_state(BreakerState.CLOSED)

    def fail(self) -> None:
        """Record a failed call."""
        self._failures += 1
        if self.state is not BreakerState.CLOSED or self._failures >= self._threshold:
            self._opened_at = self._monotonic()
            self._set_state(BreakerState.OPEN)

    def reset(self) -> None:
        """End the cool-off: allow a trial call at once, because the cause may be gone."""
        if self.state is not BreakerState.CLOSED:
            self._opened_at = self._monotonic() - self._cool_off
            self._set_state(BreakerState.OPEN)

    def _set_state(self, state: BreakerState) -> None:
        if state is not self.state:
            self.state = state
            self._on_change(state)
