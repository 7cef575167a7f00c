"""A circuit breaker: stops asking what keeps failing, and tries again now and then."""

from collections.abc import Callable
from enum import IntEnum

from trading_ops import clock


class BreakerState(IntEnum):
    """The values are those of the metric."""

    CLOSED = 0
    """All goes through."""

    HALF_OPEN = 1
    """One trial is on its way; the rest waits for its end."""

    OPEN = 2
    """Nothing goes through until the cool-off is over."""


class Breaker:
    """Opens after some failures in a row, cools off, lets one trial through."""

    def __init__(
        self,
        *,
        threshold: int,
        cool_off_seconds: float,
        on_change: Callable[[BreakerState], None] = lambda _: None,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        """Begin closed.

        Args:
            threshold: failures in a row that open it.
            cool_off_seconds: after which a trial is let through.
            on_change: is told each new state.
            monotonic: the clock.
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
        """Say whether all goes through."""
        return self.state is BreakerState.CLOSED

    def allow(self) -> bool:
        """Say whether the next call may go; whoever gets True must report its end."""
        if self.state is BreakerState.OPEN and self.cooling_seconds() <= 0:
            self._become(BreakerState.HALF_OPEN)
            return True
        return self.closed

    def cooling_seconds(self) -> float:
        """Return the time until a trial is let through; zero or less: now."""
        if self.state is not BreakerState.OPEN:
            return 0.0
        return self._opened_at + self._cool_off - self._monotonic()

    def succeed(self) -> None:
        """Report that a call went well."""
        self._failures = 0
        self._become(BreakerState.CLOSED)

    def fail(self) -> None:
        """Report that a call failed."""
        self._failures += 1
        if self.state is not BreakerState.CLOSED or self._failures >= self._threshold:
            self._opened_at = self._monotonic()
            self._become(BreakerState.OPEN)

    def reset(self) -> None:
        """Let the next call through at once, as a trial: the cause may be gone."""
        if self.state is not BreakerState.CLOSED:
            self._opened_at = self._monotonic() - self._cool_off
            self._become(BreakerState.OPEN)

    def _become(self, state: BreakerState) -> None:
        if state is not self.state:
            self.state = state
            self._on_change(state)
