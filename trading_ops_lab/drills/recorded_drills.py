"""The stored record of a game day: the drills with their stages in seconds."""

from datetime import datetime

import msgspec


class RecordedMark(msgspec.Struct, frozen=True):
    """A stage that was reached."""

    stage: str
    seconds: float
    note: str = ""


class RecordedDrill(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one drill; the fields match the lab's own result."""

    alert: str
    target: str
    fault: str
    broken: str
    page_only: bool
    paused: bool
    silenced: bool
    passed: bool
    problem: str
    limit_seconds: float
    total_seconds: float | None
    incident: str
    evidence: str
    reasons: list[str]
    timeline: list[RecordedMark]
    during: str = ""
    escalated: bool = False
    not_possible: bool = False
    notifications_blocked: bool = False

    def first(self, *stages: str) -> float | None:
        """Return when the first of some stages was reached, or None."""
        return min((mark.seconds for mark in self.timeline if mark.stage in stages), default=None)

    def last(self, stage: str) -> float | None:
        """Return when a stage was last reached, or None."""
        return max((mark.seconds for mark in self.timeline if mark.stage == stage), default=None)

    @property
    def not_remediated(self) -> bool:
        """Return whether it must not recover."""
        return self.paused or self.silenced

    @property
    def alerting_seconds(self) -> float | None:
        """Return the share of Prometheus and Alertmanager: until the alert was received."""
        return self.first("received")

    @property
    def remediation_seconds(self) -> float | None:
        """Return our share: from receipt until the end, or until on-call took over.

        While the fault kept the reconciler from receiving alerts, its share had not started.
        """
        begin, removed = self.alerting_seconds, self.first("removed")
        if self.notifications_blocked and begin is not None and removed is not None:
            begin = max(begin, removed)
        return _between(begin, self.first("noticed" if self.page_only else "closed"))

    @property
    def verification_seconds(self) -> float | None:
        """Return the part of our share that is verification."""
        return _between(self.last("done"), self.last("verified"))

    @property
    def remediation_without_verification(self) -> float | None:
        """Return the rest of our share: decision, action, closing."""
        return _between(self.verification_seconds, self.remediation_seconds)


class RecordedDisaster(msgspec.Struct, frozen=True, kw_only=True):
    """The drill DisasterRecovery: everything lost, and restored from a backup."""

    at: datetime
    passed: bool
    limit_seconds: float
    seconds: float
    """From the loss until every process was healthy again: the recovery time (RTO)."""

    timeline: list[RecordedMark]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine of a run."""

    system: str
    cores: int
    memory_bytes: int


class GameDayRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A game day, or some of its drills that were repeated."""

    began_at: datetime
    ended_at: datetime
    commit: str
    changed: bool
    """Whether there were uncommitted changes."""

    versions: dict[str, str]
    machine: Machine
    drills: list[RecordedDrill]
    disaster: RecordedDisaster | None = None
    before: list["GameDayRecord"] = []
    """Drills of earlier runs that were not repeated."""

    @property
    def runs(self) -> list["GameDayRecord"]:
        """Return all runs in the record, newest first."""
        return [self, *self.before]

    @property
    def all_drills(self) -> list[RecordedDrill]:
        """Return the drills of all runs, in the order of a single run."""
        if not self.before:
            return self.drills
        found = [drill for run in self.runs for drill in run.drills]
        return sorted(found, key=lambda drill: (drill.alert, drill.target))

    @property
    def last_disaster(self) -> RecordedDisaster | None:
        """Return the newest drill DisasterRecovery."""
        return next((run.disaster for run in self.runs if run.disaster), None)

    def after(self, earlier: "GameDayRecord") -> "GameDayRecord":
        """Return this record, with the drills of an earlier one that were not repeated."""
        repeated = {(drill.alert, drill.target) for drill in self.drills}
        kept = [
            msgspec.structs.replace(
                run,
                drills=[
                    drill for drill in run.drills if (drill.alert, drill.target) not in repeated
                ],
                disaster=None if self.disaster else run.disaster,
                before=[],
            )
            for run in earlier.runs
        ]
        found = [run for run in kept if run.drills or run.disaster]
        return msgspec.structs.replace(self, before=found)


def _between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else end - begin
