"""Sources that look at this machine: quick, but never on the loop, since any of it can hang."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.metrics_core import Metric

from trading_ops.errors import TradingOpsError
from trading_ops.exporter.thread import OneAtATime

Look = Callable[[], Iterable[Metric]]


class Incomplete(TradingOpsError):
    """Some of it could be read."""

    def __init__(self, problem: str, families: tuple[Metric, ...]) -> None:
        """Return what failed, and what was read despite that."""
        super().__init__(problem)
        self.families = families


class Looking:
    """A source that reads in a thread: one that hangs blocks only this thread."""

    def __init__(
        self, name: str, look: Look, *, interval_seconds: float, timeout_seconds: float
    ) -> None:
        """Take what reads, and how often and how long it may."""
        self.name = name
        self.interval_seconds = interval_seconds
        self.timeout_seconds = timeout_seconds
        self._look = look
        self._families: tuple[Metric, ...] = ()
        self._thread = OneAtATime[tuple[Metric, ...]](name)

    async def read(self) -> None:
        """Read everything again.

        Raises:
            Incomplete: some of it could not be read; the rest is exported.
            TradingOpsError: an earlier reading still hangs; there is never more than one thread.
        """
        try:
            self._families = await self._thread.do(lambda: tuple(self._look()))
        except Incomplete as error:
            self._families = error.families
            raise
        except BaseException:
            self._families = ()  # old figures would mislead
            raise

    def families(self, *, fresh: bool) -> Iterable[Metric]:  # noqa: ARG002 - the Source's signature
        """Return the figures of the last reading; what could not be read is absent."""
        return self._families


def all_of(groups: Mapping[str, Look]) -> tuple[Metric, ...]:
    """Read groups of figures; one that fails costs only its own.

    Raises:
        Incomplete: one of them failed.
    """
    families: list[Metric] = []
    problems: list[str] = []
    for name, look in groups.items():
        try:
            families += look()
        except Exception as error:  # noqa: BLE001 - the other waiters must be notified
            problems.append(f"{name}: {error}")
    if problems:
        raise Incomplete("; ".join(problems), tuple(families))
    return tuple(families)
