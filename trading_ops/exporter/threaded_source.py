"""Sources that read this host in a thread: usually quick, but any of them can hang."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.metrics_core import Metric

from trading_ops.errors import TradingOpsError
from trading_ops.exporter.thread import OneAtATime

Look = Callable[[], Iterable[Metric]]


class Incomplete(TradingOpsError):
    """Part of a reading failed; `families` has the rest."""

    def __init__(self, problem: str, families: tuple[Metric, ...]) -> None:
        super().__init__(problem)
        self.families = families


class ThreadedSource:
    """A source that reads in a thread: one that hangs blocks only this thread."""

    def __init__(
        self, name: str, read_families: Look, *, interval_seconds: float, timeout_seconds: float
    ) -> None:
        self.name = name
        self.interval_seconds = interval_seconds
        self.timeout_seconds = timeout_seconds
        self._read_families = read_families
        self._families: tuple[Metric, ...] = ()
        self._thread = OneAtATime[tuple[Metric, ...]](name)

    async def read(self) -> None:
        """Read everything.

        Raises:
            Incomplete: some of it could not be read; the rest is exported.
            TradingOpsError: an earlier reading still hangs; there is never more than one thread.
        """
        try:
            self._families = await self._thread.do(lambda: tuple(self._read_families()))
        except Incomplete as error:
            self._families = error.families
            raise
        except BaseException:
            self._families = ()  # outdated values would mislead
            raise

    def families(self, *, fresh: bool) -> Iterable[Metric]:  # noqa: ARG002 - the Source's signature
        """Return the metrics of the last reading; failed parts are absent."""
        return self._families


def all_of(groups: Mapping[str, Look]) -> tuple[Metric, ...]:
    """Read groups of metrics; a failure affects only its own group.

    Raises:
        Incomplete: at least one failed.
    """
    families: list[Metric] = []
    problems: list[str] = []
    for name, read_families in groups.items():
        try:
            families += read_families()
        except Exception as error:  # noqa: BLE001 - the other waiters must be notified
            problems.append(f"{name}: {error}")
    if problems:
        raise Incomplete("; ".join(problems), tuple(families))
    return tuple(families)
