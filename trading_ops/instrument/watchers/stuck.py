"""Components that have work but make no progress."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trading_ops.instrument import catalogue
from trading_ops.instrument.bot import BotMetrics
from trading_ops.instrument.recorder import gauges
from trading_ops.instrument.watchers.part import Part

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How to observe one component's progress.

    Both callables run in the watchers' thread and must neither block nor change anything.
    """

    component: str
    limit_seconds: float
    """Without progress for this long, it is stuck."""

    marker: Callable[[], object]
    """Returns a value that changes with progress: a count, the time of the last success."""

    has_work: Callable[[], bool] = lambda: True
    """False while there is nothing to do: a component that waits for work is not stuck."""


class Stuck(Part):
    """Compares each component's marker with the previous one."""

    def __init__(
        self, metrics: BotMetrics, progress: Sequence[Progress], *, interval_seconds: float = 1.0
    ) -> None:
        """Set up the watcher.

        Raises:
            ValueError: a component is named twice, or a limit is not above zero.
        """
        names = [entry.component for entry in progress]
        if len(set(names)) < len(names) or any(entry.limit_seconds <= 0 for entry in progress):
            raise ValueError("each component may be named once, with a limit above zero")
        self.interval_seconds = interval_seconds
        known = {"component": names}
        stuck = gauges(catalogue.get("trading_component_stuck"), declared=known)
        ages = gauges(catalogue.get("trading_component_progress_age_seconds"), declared=known)
        metrics.registry.register(stuck)
        metrics.registry.register(ages)
        self._seen = [
            _Seen(entry, stuck.labels(entry.component).set, ages.labels(entry.component).set)
            for entry in progress
        ]

    def check(self, now: float) -> None:
        """Compare all markers once."""
        for seen in self._seen:
            seen.check(now)


class _Seen:
    """The last observation of one component."""

    def __init__(
        self,
        progress: Progress,
        set_stuck: Callable[[float], None],
        set_age: Callable[[float], None],
    ) -> None:
        self._progress = progress
        self._set_stuck, self._set_age = set_stuck, set_age
        self._marker: object = None
        self._since: float | None = None
        self._stuck = False
        self._readable = True

    def check(self, now: float) -> None:
        marker, working = self._read()
        if self._since is None or marker != self._marker or not working:
            self._marker, self._since = marker, now
        age = now - self._since
        stuck = age > self._progress.limit_seconds
        self._set_age(age)
        self._set_stuck(1 if stuck else 0)
        if stuck is not self._stuck:
            self._stuck = stuck
            event = "stuck" if stuck else "moves_again"
            _logger.warning("component_%s component=%s", event, self._progress.component)

    def _read(self) -> tuple[object, bool]:
        """Return the marker and whether there is work; an unreadable one counts as no progress."""
        try:
            read = self._progress.marker(), self._progress.has_work()
        except Exception:
            if self._readable:
                _logger.exception("progress_unreadable component=%s", self._progress.component)
            self._readable = False
            return self._marker, True
        self._readable = True
        return read
