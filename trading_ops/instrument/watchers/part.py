"""What the watchers' thread asks of each of them."""

import abc


class Part(abc.ABC):
    """One watcher: looks at its interval, in the watchers' thread."""

    interval_seconds: float
    """Between two looks."""

    def begin(self) -> None:  # noqa: B027 - most have nothing to do
        """Start watching; called once."""

    @abc.abstractmethod
    def look(self, now: float) -> None:
        """Look once; must not wait for anything.

        Args:
            now: seconds of the monotonic clock.
        """

    def end(self) -> None:  # noqa: B027
        """Leave nothing behind; called once, after the last look."""
