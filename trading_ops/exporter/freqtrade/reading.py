"""One endpoint as a source: polled, with its last value kept."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from prometheus_client.metrics_core import Metric

from trading_ops.errors import Refused

T = TypeVar("T")


class EndpointReading(Generic[T]):
    """The last response of one endpoint. Its metrics are served with those of the bot."""

    def __init__(
        self,
        name: str,
        ask: Callable[[], Awaitable[T]],
        *,
        interval_seconds: float,
        timeout_seconds: float,
        own_families: Callable[[], Iterable[Metric]] = tuple,
    ) -> None:
        self.name = name
        self.interval_seconds = interval_seconds
        self.timeout_seconds = timeout_seconds
        self.last: T | None = None
        """The last response at any age: for values with their own timestamp."""

        self.fresh: T | None = None
        """The same, but None if the last reading failed: for values that mislead when they are
        old."""

        self._ask = ask
        self._own_families = own_families

    async def read(self) -> None:
        """Read the endpoint once; exceptions are passed on."""
        try:
            self.last = self.fresh = await self._ask()
        except Refused:
            # A wrong password is not a failure of the bot: outdated values must not cause an alert.
            self.last = self.fresh = None
            raise
        except BaseException:
            self.fresh = None
            raise

    def families(self, *, fresh: bool) -> Iterable[Metric]:  # noqa: ARG002 - the Source's signature
        """Return the exporter's own metrics; for the bot's see `facts`."""
        return self._own_families()
