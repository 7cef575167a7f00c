"""Where the next run ends: where the fewest have, among the places that can be reached now."""

import random
from collections import Counter
from dataclasses import dataclass, field

from trading_ops.store.failpoints import Failpoint

AFTER_A_START = frozenset(
    {
        Failpoint.STARTED,
        Failpoint.EFFECT_BEFORE,
        Failpoint.EFFECT_AFTER,
        Failpoint.OUTCOME_BEFORE,
    }
)
"""A process that dies here leaves an attempt without an outcome."""

OF_A_RECOVERY = (Failpoint.ADOPTED, Failpoint.FENCE_RAISED, Failpoint.PROBED)
"""Passed only when there is such an attempt, in this order."""

SYSCALLS = {"pwrite64": 60, "fdatasync": 25, "ftruncate": 1}
"""How SQLite and its lock reach the disk, and up to which call of a thread it is worth waiting."""

OFTEN = frozenset({Failpoint.COMMIT_BEFORE, Failpoint.COMMIT_AFTER})


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One death: at a failpoint, or at a system call."""

    place: str
    nth: int

    @property
    def is_failpoint(self) -> bool:
        """Whether the reconciler itself knows this place."""
        return self.place in set(Failpoint)


@dataclass
class Chooser:
    """Spreads deaths evenly over all places."""

    seed: int
    syscalls: bool
    """Also at write system calls, by strace."""

    only: tuple[Failpoint, ...] = ()
    """Nowhere else than here; empty: everywhere."""

    kills: Counter[str] = field(default_factory=Counter)
    misses: Counter[str] = field(default_factory=Counter)
    """Lives that were to end at a place and did not get there in time."""

    _possible: tuple[Failpoint, ...] = ()
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def next(self) -> Candidate:
        """Return where the next run ends."""
        if self.only:
            return Candidate(place=self._least(self.only), nth=1)
        if self._possible and self._random.random() < 0.8:
            place: str = self._least(self._possible)
            return Candidate(place=place, nth=1)
        if self.syscalls and self._random.random() < 0.2:
            place = self._random.choices(list(SYSCALLS), weights=(6, 3, 1))[0]
            return Candidate(place=place, nth=self._random.randint(1, SYSCALLS[place]))
        place = self._least(
            [failpoint for failpoint in Failpoint if failpoint not in OF_A_RECOVERY]
        )
        return Candidate(place=place, nth=self._random.randint(1, 12 if place in OFTEN else 2))

    def ended(self, choice: Candidate, *, there: bool) -> None:
        """Remember how a run ended."""
        (self.kills if there else self.misses)[choice.place] += 1
        if not there:
            self._possible = ()
        elif choice.place in AFTER_A_START:
            self._possible = OF_A_RECOVERY
        elif choice.place == Failpoint.ADOPTED:
            self._possible = OF_A_RECOVERY[1:]
        elif choice.place == Failpoint.FENCE_RAISED:
            self._possible = OF_A_RECOVERY[2:]
        else:
            self._possible = ()

    @property
    def is_done(self) -> bool:
        """Whether there was a kill at each place of `only`; without `only`, it never is."""
        return bool(self.only) and all(self.kills[place] for place in self.only)

    def _least(self, places: "tuple[Failpoint, ...] | list[Failpoint]") -> Failpoint:
        # A place that is seldom reached must not take all the time.
        weights = [self.kills[place] + 2 * self.misses[place] for place in places]
        least = min(weights)
        return self._random.choice(
            [place for place, weight in zip(places, weights, strict=True) if weight == least]
        )
