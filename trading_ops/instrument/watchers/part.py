"""The base class of the watchers."""

import abc


class Part(abc.ABC):
    """A watcher: `check` runs at its interval in the watchers' thread."""

    interval_seconds: float
    """Between two checks."""

    can_wait: bool = False
    """Whether it is left out while the bot's probes are suspended."""

    def begin(self) -> None:  # noqa: B027 - most have nothing to do
        """Start watching; called once."""

    @abc.abstractmethod
    def check(self, now: float) -> None:
        """Check once; must not block.

        Args:
            now: seconds of the monotonic clock.
        """

    def end(self) -> None:  # noqa: B027
        """Clean up; called once, after the last check."""
