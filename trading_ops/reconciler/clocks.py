"""Detects clock steps: ours, Prometheus' or Alertmanager's.

Each clock is compared with a monotonic one. A reading takes time, since the process may be frozen
between request and response, so an offset is a range. If two offsets of one clock do not overlap,
it stepped in between. Prometheus and Alertmanager send theirs in the `Date`
header. After a step of ours or of Prometheus' the sources are not trusted for a while: alerts that
compare times may fire or resolve wrongly. Prometheus itself may be blind for as long as the step,
so the alert is sent directly to Alertmanager.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from trading_ops import clock, logs
from trading_ops.clients.alertmanager import Alertmanagers, PostedAlert
from trading_ops.errors import ClientError, StoreError
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.store import Connection, events
from trading_ops.store.writer import Writer


@dataclass(frozen=True)
class Offset:
    """Seconds that a clock is ahead of the monotonic one: between `low` and `high`."""

    low: float
    high: float

    @classmethod
    def of_reading(
        cls, shown: float, *, requested_at: float, answered_at: float, resolution: float = 0.0
    ) -> "Offset":
        """Return the offset of a clock that showed this time.

        Args:
            shown: the time in Unix seconds, rounded down.
            requested_at: monotonic time of the request.
            answered_at: monotonic time of the response.
            resolution: of `shown`, in seconds.
        """
        return cls(shown - answered_at, shown + resolution - requested_at)

    @property
    def width(self) -> float:
        """Width of the range in seconds."""
        return self.high - self.low

    def ahead_of(self, other: "Offset") -> float:
        """Return the minimum seconds by which it is ahead; negative: behind; 0: may be equal."""
        if self.low > other.high:
            return self.low - other.high
        return min(0.0, self.high - other.low)


log = logs.get(__name__)

ALERT = "TradingOpsClockStepped"
OURS, PROMETHEUS, ALERTMANAGER = "reconciler", "prometheus", "alertmanager"

STEP_SECONDS = 5.0
"""Seconds; a smaller step is a normal correction."""

DIFFERENCE_SECONDS = 60.0
"""Maximum difference between two clocks in seconds."""

UNKNOWN_SECONDS = 15.0
"""Seconds after a step in which the sources are not trusted: some scrapes and evaluations."""

SHOWN_SECONDS = 300.0
"""Seconds for which the alert fires after a step."""

POST_SECONDS = 60.0
"""Alertmanager resolves an alert that is not repeated within five minutes."""

NARROW_SECONDS = 2.0
"""An offset with a wider error comes from a slow response and is ignored if a better one exists."""

HTTP_DATE_SECONDS = 1.0
"""Resolution of the `Date` header."""

OnDate = Callable[[float, float, float], None]


@dataclass
class _Clock:
    """Last reading of one clock."""

    name: str
    offset: Offset | None = None
    step: float = 0.0
    """Size of the last step in seconds; negative: backwards."""

    stepped_at: float = -math.inf
    """On the monotonic clock."""


@dataclass(kw_only=True)
class Clocks:
    """Reads the clocks and detects steps and differences."""

    wall: Callable[[], float] = clock.timestamp
    steady: Callable[[], float] = clock.boottime
    unknown_seconds: float = UNKNOWN_SECONDS
    steps: list[tuple[str, float]] = field(init=False, default_factory=list)
    """Clock and seconds of each unreported step."""

    _ours: _Clock = field(init=False, default_factory=lambda: _Clock(OURS))
    _others: list[_Clock] = field(init=False, default_factory=list)

    def other(self, name: str) -> OnDate:
        """Return a callback for each `Date` of another process and its request time."""
        other = _Clock(name)
        self._others.append(other)

        def note(shown: float, asked: float, answered: float) -> None:
            self._note(
                other,
                Offset.of_reading(
                    shown, requested_at=asked, answered_at=answered, resolution=HTTP_DATE_SECONDS
                ),
            )

        return note

    def read(self) -> None:
        """Read our own clock."""
        asked = self.steady()
        shown = self.wall()
        self._note(
            self._ours, Offset.of_reading(shown, requested_at=asked, answered_at=self.steady())
        )

    @property
    def unsettled(self) -> bool:
        """Whether the sources are not trusted yet."""
        since = self.steady() - self.unknown_seconds
        return any(
            other.stepped_at > since
            for other in (self._ours, *self._others)
            if other.name != ALERTMANAGER
        )

    def problems(self) -> dict[str, str]:
        """Return the clocks that stepped recently or differ from ours, with the problem."""
        since, found = self.steady() - SHOWN_SECONDS, dict[str, str]()
        for other in (self._ours, *self._others):
            ahead = self._ahead_of_ours(other)
            if abs(ahead) > DIFFERENCE_SECONDS:
                found[other.name] = f"It differs from the reconciler's by {ahead:+.0f} s."
            elif other.stepped_at > since:
                found[other.name] = f"It stepped by {other.step:+.0f} s."
        return found

    def _ahead_of_ours(self, other: _Clock) -> float:
        if other.offset is None or self._ours.offset is None:
            return 0.0
        return other.offset.ahead_of(self._ours.offset)

    def _note(self, other: _Clock, offset: Offset) -> None:
        step = 0.0 if other.offset is None else offset.ahead_of(other.offset)
        if abs(step) > STEP_SECONDS:
            other.step, other.stepped_at = step, self.steady()
            self.steps.append((other.name, step))
            log.error("clock_stepped", clock=other.name, seconds=round(step, 1))
        elif other.offset is not None and offset.width > max(NARROW_SECONDS, other.offset.width):
            return
        other.offset = offset


@dataclass(kw_only=True)
class ClockReports:
    """Records each step, and updates metric and alert."""

    clocks: Clocks
    writer: Writer
    metrics: ReconcilerMetrics
    alertmanagers: Alertmanagers
    _posted: dict[str, float] = field(init=False, default_factory=dict)
    """When the alert of each clock was last sent, on the monotonic clock."""

    def export(self) -> bool:
        """Set the metric; return whether there is something to report."""
        wrong = self.clocks.problems()
        for name in (OURS, PROMETHEUS, ALERTMANAGER):
            self.metrics.clock_stepped.labels(name).set(name in wrong)
        is_late = any(self._is_late(name) for name in wrong)
        return bool(self.clocks.steps) or is_late or bool(self._posted.keys() - wrong.keys())

    async def report(self) -> None:
        """Record the steps and send the alerts; retried in the next pass on failure."""
        wrong = self.clocks.problems()
        for name, detail in wrong.items():
            if self._is_late(name) and await self._post(name, detail):
                self._posted[name] = clock.monotonic()
        for name in self._posted.keys() - wrong.keys():
            if await self._post(name, "It is correct again.", resolved=True):
                del self._posted[name]
        steps = tuple(self.clocks.steps)
        try:
            await self.writer.run(partial(_record, steps=steps))
        except StoreError as error:
            log.warning("clock_step_not_recorded", error=str(error))
        else:
            del self.clocks.steps[: len(steps)]

    def _is_late(self, name: str) -> bool:
        return clock.monotonic() - self._posted.get(name, -math.inf) >= POST_SECONDS

    async def _post(self, name: str, detail: str, *, resolved: bool = False) -> bool:
        alert = PostedAlert.paging_at_once(
            {"alertname": ALERT, "clock": name},
            summary="A clock has stepped, or two clocks disagree.",
            description=f"The clock of {name}: {detail} Alerts may come late or not at all.",
            resolved=resolved,
        )
        try:
            await self.alertmanagers.post(alert)
        except ClientError as error:
            log.warning("alert_not_posted", alert=ALERT, reason=str(error))
            return False
        return True


def _record(connection: Connection, steps: tuple[tuple[str, float], ...]) -> None:
    for name, seconds in steps:
        note = f"the clock of {name} stepped by {seconds:+.1f} s"
        events.add(connection, at=clock.now(), kind="clock_stepped", reason=name, note=note)
