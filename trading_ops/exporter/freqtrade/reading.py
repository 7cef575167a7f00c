"""One endpoint as a source: polled, with its last value kept."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from prometheus_client.metrics_core import Metric

from trading_ops.errors import Refused

T = TypeVar("T")


class Reading(Generic[T]):
    """The last answer of one endpoint. Its metrics are served with those of the bot."""

    def __init__(
        self,
        name: str,
        ask: Callable[[], Awaitable[T]],
        *,
        interval_seconds: float,
        timeout_seconds: float,
        told: Callable[[], Iterable[Metric]] = tuple,
    ) -> None:
        """Take the collector's name, what asks the endpoint, and the exporter's own figures."""
        self.name = name
        self.interval_seconds = interval_seconds
        self.timeout_seconds = timeout_seconds
        self.last: T | None = None
        """The last answer at any age: for values with their own time, such as a timestamp."""

        self.fresh: T | None = None
        """The same, but None when the last reading failed: for what misleads when it is old."""

        self._ask = ask
        self._told = told

    async def read(self) -> None:
        """Ask once; raises whatever the asking raises."""
        try:
            self.last = self.fresh = await self._ask()
        except Refused:
            # A wrong password is not a failure of the bot: old values must not cause an alert.
            self.last = self.fresh = None
            raise
        except BaseException:
            self.fresh = None
            raise

    def families(self, *, fresh: bool) -> Iterable[Metric]:  # noqa: ARG002 - the Source's signature
        """Return what is the exporter's own; for the bot's figures see `facts`."""
        return self._told()
