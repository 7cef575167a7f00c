"""A game day as it is kept: each drill, its stages in seconds, and whose they are."""

from datetime import datetime

import msgspec


class RecordedMark(msgspec.Struct, frozen=True):
    """One stage that was reached."""

    stage: str
    seconds: float
    note: str = ""


class RecordedDrill(msgspec.Struct, frozen=True, kw_only=True):
    """How one drill ended; the fields are those of the drill's own result."""

    alert: str
    target: str
    fault: str
    broken: str
    for_people: bool
    paused: bool
    silenced: bool
    passed: bool
    problem: str
    limit_seconds: float
    total_seconds: float | None
    incident: str
    witness: str
    reasons: list[str]
    timeline: list[RecordedMark]
    during: str = ""
    handed_over: bool = False
    not_possible: bool = False
    deaf: bool = False

    def first(self, *stages: str) -> float | None:
        """Return when the first of some stages was reached, None for never."""
        return min((mark.seconds for mark in self.timeline if mark.stage in stages), default=None)

    def last(self, stage: str) -> float | None:
        """Return when a stage was reached for the last time, None for never."""
        return max((mark.seconds for mark in self.timeline if mark.stage == stage), default=None)

    @property
    def held_back(self) -> bool:
        """Whether it was not to recover."""
        return self.paused or self.silenced

    @property
    def theirs(self) -> float | None:
        """Return Prometheus's and Alertmanager's share: until it was received."""
        return self.first("received")

    @property
    def ours(self) -> float | None:
        """Return our share: from receipt until the end, or until it was left to on-call.

        While the fault kept the reconciler from receiving alerts, its share had not started.
        """
        begin, mended = self.theirs, self.first("mended")
        if self.deaf and begin is not None and mended is not None:
            begin = max(begin, mended)
        return _between(begin, self.first("noticed" if self.for_people else "closed"))

    @property
    def proof(self) -> float | None:
        """Return how much of our share the proof took."""
        return _between(self.last("done"), self.last("verified"))

    @property
    def without_proof(self) -> float | None:
        """Return the rest of our share: deciding, acting, closing."""
        return _between(self.proof, self.ours)


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """On what it was run."""

    system: str
    cores: int
    memory_bytes: int


class GameDayRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One game day, or some drills of one that were run again."""

    began_at: datetime
    ended_at: datetime
    commit: str
    changed: bool
    """Whether committed files had changes that were not."""

    versions: dict[str, str]
    machine: Machine
    drills: list[RecordedDrill]
    before: list["GameDayRecord"] = []
    """What is kept of earlier days: drills that were not run again."""

    @property
    def runs(self) -> list["GameDayRecord"]:
        """Return each run of which something is here, the newest first."""
        return [self, *self.before]

    @property
    def all_drills(self) -> list[RecordedDrill]:
        """Return the drills of all runs, in the order in which one run would have them."""
        if not self.before:
            return self.drills
        found = [drill for run in self.runs for drill in run.drills]
        return sorted(found, key=lambda one: one.alert)

    def after(self, earlier: "GameDayRecord") -> "GameDayRecord":
        """Return this one with what an earlier one has that was not run again."""
        anew = {drill.alert for drill in self.drills}
        kept = [
            msgspec.structs.replace(
                run, drills=[one for one in run.drills if one.alert not in anew], before=[]
            )
            for run in earlier.runs
        ]
        return msgspec.structs.replace(self, before=[run for run in kept if run.drills])


def _between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else end - begin
