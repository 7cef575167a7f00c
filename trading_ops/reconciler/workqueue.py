"""Which incidents are due to be looked at, so that a pass costs what has changed.

An incident is due when something stored of it changed, when a source says something else of its
alert, or when the time has come that its last decision named.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trading_ops.domain.decision import AlertView, Decision, Reason, Wait

SOON_SECONDS = 1.0
"""How soon an incident is looked at again while something may happen of itself."""

SLACK = 64
"""So many times that do not count any more are no trouble."""

FLEET_SECONDS = 5.0
"""How soon while the fleet holds it back: many incidents wait together, and none is urgent."""

UNKNOWN_LONGEST_SECONDS = 5.0
"""While a source does not answer, it is asked after 1, 2 and 4 s, and then this often."""

FLEET = frozenset({Reason.STORM, Reason.FLEET_UNHEALTHY, Reason.GLOBAL_BUDGET})

QUIET = frozenset(
    {
        Reason.WITH_A_PERSON,
        Reason.PEOPLE_ONLY,
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
"""Waits that only end by a word or by what a poll shows; both make the incident due."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the last look at an incident saw and decided."""

    view: AlertView
    blocking: tuple[str, ...]
    decision: Decision


class Agenda:
    """Keeps the last look at each incident, and when the next one is due."""

    def __init__(self) -> None:
        self._sights: dict[str, Sight] = {}
        self._due: set[str] = set()
        self._times: list[tuple[float, str]] = []
        self._next: dict[str, float] = {}
        self._held: dict[str, Reason] = {}
        self._unknown: Counter[str] = Counter()
        """How many looks in a row found a source unknown, by incident."""

    def add(self, keys: Iterable[str]) -> None:
        """Have these looked at in the next pass."""
        self._due.update(keys)

    def sight(self, key: str) -> Sight | None:
        """Return the last look at an incident."""
        return self._sights.get(key)

    def is_due(self, now: float) -> bool:
        """Whether anything is to be looked at."""
        return self.next_in(now) <= 0

    def take(self, now: float) -> set[str]:
        """Return what is due, and forget that it was."""
        due, self._due = self.due(now), set()
        return due

    def due(self, now: float) -> set[str]:
        """Return what is due."""
        while self._times and self._times[0][0] <= now:
            moment, key = heapq.heappop(self._times)
            if self._next.get(key) == moment:  # else a later look has named another time
                del self._next[key]
                self._due.add(key)
        return self._due

    def held(self) -> Mapping[Reason, int]:
        """Return how many incidents wait for each gate of the fleet."""
        count = Counter(dict.fromkeys(FLEET, 0))
        count.update(self._held.values())
        return count

    def looked(self, key: str, sight: Sight, *, again_in: float, now: float) -> None:
        """Keep a look, and when the next one is due."""
        self._sights[key] = sight
        self._held.pop(key, None)
        if isinstance(sight.decision, Wait) and sight.decision.reason in FLEET:
            self._held[key] = sight.decision.reason
        self._next.pop(key, None)
        if isinstance(sight.decision, Wait) and sight.decision.reason is Reason.SOURCE_UNKNOWN:
            again_in = min(again_in * 2.0 ** self._unknown[key], UNKNOWN_LONGEST_SECONDS)
            if again_in < UNKNOWN_LONGEST_SECONDS:
                self._unknown[key] += 1
        else:
            self._unknown.pop(key, None)
        if again_in < math.inf:
            self._at(key, now + again_in)

    def retry(self, key: str, now: float) -> None:
        """Have an incident looked at again soon, for the look at it has failed."""
        self._at(key, now + SOON_SECONDS)

    def forget(self, key: str) -> None:
        """Drop an incident that is closed, or that another replica has."""
        self._sights.pop(key, None)
        self._held.pop(key, None)
        self._unknown.pop(key, None)
        self._next.pop(key, None)
        self._due.discard(key)

    def next_in(self, now: float) -> float:
        """Return in how many seconds the next one is due by its time."""
        if self._due:
            return 0.0
        while self._times and self._next.get(self._times[0][1]) != self._times[0][0]:
            heapq.heappop(self._times)
        return max(0.0, self._times[0][0] - now) if self._times else math.inf

    def _at(self, key: str, moment: float) -> None:
        self._next[key] = moment
        heapq.heappush(self._times, (moment, key))
        if len(self._times) > 2 * len(self._next) + SLACK:
            # Times that do not count any more may lie hours ahead; without this they pile up.
            self._times = [(when, name) for name, when in self._next.items()]
            heapq.heapify(self._times)


def again_in(decision: Decision, until_seconds: float | None) -> float:
    """Return in how many seconds to look again.

    Args:
        decision: the last one.
        until_seconds: seconds until the moment that it names, None when it names none.
    """
    longest = SOON_SECONDS
    if isinstance(decision, Wait) and decision.reason in QUIET | FLEET:
        longest = math.inf if decision.reason in QUIET else FLEET_SECONDS
    return longest if until_seconds is None else max(0.0, min(until_seconds, longest))
