"""The queue of due incidents, so that the cost of a pass depends on what changed.

An incident is due when its stored state or its alert at a source changed, or when the time of its
last decision has come. Slow work on an incident runs in the background, at most once per attempt.
"""

import asyncio
import heapq
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trading_ops import logs
from trading_ops.domain.decision import AlertState, Decision, Reason, Wait
from trading_ops.reconciler.crash_recovery import CrashMarks

REQUEUE_SECONDS = 1.0
"""Seconds until an incident is reconciled again while something may change on its own."""

SLACK = 64
"""Maximum number of obsolete entries in the heap."""

FLEET_REQUEUE_SECONDS = 5.0
"""Seconds while a fleet-wide gate is closed: many incidents wait together, none is urgent."""

UNKNOWN_BACKOFF_SECONDS = 5.0
"""Maximum backoff in seconds while a source does not answer, after 1, 2 and 4 s."""

FLEET_WAITS = frozenset({Reason.STORM, Reason.FLEET_UNHEALTHY, Reason.GLOBAL_BUDGET})

UNTIL_CHANGED = frozenset(
    {
        Reason.ESCALATED,
        Reason.PAGE_ONLY,
        Reason.ACKNOWLEDGED,
        Reason.SILENCED,
        Reason.INHIBITED,
        Reason.PAUSED,
        Reason.OBSERVE_ONLY,
        Reason.MAINTENANCE,
        Reason.TARGET_HALTED,
        Reason.APPROVAL_MISSING,
        Reason.APPROVAL_EXPIRED,
    }
)
"""Waits that end only by an operator or a poll; both make the incident due."""


@dataclass(frozen=True, slots=True)
class LastReconcile:
    """Observation and decision of the last reconciliation of an incident."""

    view: AlertState
    blocking: tuple[str, ...]
    decision: Decision


class WorkQueue:
    """The last reconciliation of each incident, and when the next one is due."""

    def __init__(self) -> None:
        self._last: dict[str, LastReconcile] = {}
        self._due: set[str] = set()
        self._times: list[tuple[float, str]] = []
        self._next: dict[str, float] = {}
        self._fleet_waits: dict[str, Reason] = {}
        self._unknown: Counter[str] = Counter()
        """Number of consecutive reconciliations without an answer of a source, by incident."""

    def add(self, keys: Iterable[str]) -> None:
        """Mark incidents as due."""
        self._due.update(keys)

    def last(self, key: str) -> LastReconcile | None:
        """Return the last reconciliation of an incident."""
        return self._last.get(key)

    def is_due(self, now: float) -> bool:
        """Whether any incident is due."""
        return self.next_in(now) <= 0

    def take(self, now: float) -> set[str]:
        """Return due incidents and remove them from the queue."""
        due, self._due = self.due(now), set()
        return due

    def due(self, now: float) -> set[str]:
        """Return due incidents."""
        while self._times and self._times[0][0] <= now:
            moment, key = heapq.heappop(self._times)
            if self._next.get(key) == moment:  # otherwise a later reconciliation set another time
                del self._next[key]
                self._due.add(key)
        return self._due

    def waits_for_fleet(self) -> Mapping[Reason, int]:
        """Return the number of incidents that wait for each fleet-wide gate."""
        count = Counter(dict.fromkeys(FLEET_WAITS, 0))
        count.update(self._fleet_waits.values())
        return count

    def done(self, key: str, last: LastReconcile, *, requeue_in: float, now: float) -> None:
        """Record a reconciliation, and schedule the next one."""
        self._last[key] = last
        self._fleet_waits.pop(key, None)
        if isinstance(last.decision, Wait) and last.decision.reason in FLEET_WAITS:
            self._fleet_waits[key] = last.decision.reason
        self._next.pop(key, None)
        if isinstance(last.decision, Wait) and last.decision.reason is Reason.SOURCE_UNKNOWN:
            requeue_in = min(requeue_in * 2.0 ** self._unknown[key], UNKNOWN_BACKOFF_SECONDS)
            if requeue_in < UNKNOWN_BACKOFF_SECONDS:
                self._unknown[key] += 1
        else:
            self._unknown.pop(key, None)
        if requeue_in < math.inf:
            self._at(key, now + requeue_in)

    def retry(self, key: str, now: float) -> None:
        """Reconcile an incident again soon after a failure."""
        self._at(key, now + REQUEUE_SECONDS)

    def forget(self, key: str) -> None:
        """Drop an incident that is closed or owned by another replica."""
        self._last.pop(key, None)
        self._fleet_waits.pop(key, None)
        self._unknown.pop(key, None)
        self._next.pop(key, None)
        self._due.discard(key)

    def next_in(self, now: float) -> float:
        """Return the seconds until the next scheduled one."""
        if self._due:
            return 0.0
        while self._times and self._next.get(self._times[0][1]) != self._times[0][0]:
            heapq.heappop(self._times)
        return max(0.0, self._times[0][0] - now) if self._times else math.inf

    def _at(self, key: str, moment: float) -> None:
        self._next[key] = moment
        heapq.heappush(self._times, (moment, key))
        if len(self._times) > 2 * len(self._next) + SLACK:
            # Obsolete entries may be hours ahead and would accumulate.
            self._times = [(when, name) for name, when in self._next.items()]
            heapq.heapify(self._times)


def requeue_in(decision: Decision, until_seconds: float | None) -> float:
    """Return the seconds until the next reconciliation.

    Args:
        decision: the last one.
        until_seconds: seconds until the end of its wait; None: no end.
    """
    longest = REQUEUE_SECONDS
    if isinstance(decision, Wait) and decision.reason in UNTIL_CHANGED | FLEET_WAITS:
        longest = math.inf if decision.reason in UNTIL_CHANGED else FLEET_REQUEUE_SECONDS
    return longest if until_seconds is None else max(0.0, min(until_seconds, longest))


log = logs.get(__name__)


class Workers:
    """Runs background jobs by key; wakes the loop when one ends."""

    def __init__(self, wake: Callable[[], None], crash_marks: CrashMarks) -> None:
        """Set the wake-up of the loop, and the marks of incidents being handled."""
        self._wake = wake
        self.crash_marks = crash_marks
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __contains__(self, key: str) -> bool:
        """Whether a job with this key is running."""
        return key in self._tasks

    def __len__(self) -> int:
        """Number of running jobs."""
        return len(self._tasks)

    def spawn(
        self,
        key: str,
        coroutine: Coroutine[Any, Any, Any],
        *,
        wake_loop: bool = True,
        incident_id: str | None = None,
    ) -> None:
        """Start a job.

        Args:
            key: must not be in use.
            coroutine: what to run.
            wake_loop: whether its end wakes the loop.
            incident_id: the incident that it handles, if any.
        """
        if incident_id is not None:
            coroutine = self._handle(incident_id, coroutine)
        self._tasks[key] = asyncio.create_task(self._run(key, coroutine, wake_loop), name=key)

    async def _handle(self, incident_id: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        with self.crash_marks.marked((incident_id,)):
            await coroutine

    async def _run(self, key: str, coroutine: Coroutine[Any, Any, Any], wake_loop: bool) -> None:  # noqa: FBT001
        try:
            await coroutine
        except Exception:  # the next pass continues from the stored state
            log.exception("job_failed", job=key)
        finally:
            del self._tasks[key]
            if wake_loop:
                self._wake()

    async def stop(self, grace_seconds: float) -> None:
        """Wait for jobs for a while, then cancel the rest.

        A cancelled attempt stays `started` in the store and is probed at the next start.
        """
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
