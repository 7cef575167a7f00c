"""A job's stored state, and one run of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Outcome(StrEnum):
    """What became of a run."""

    RUNNING = "running"
    DONE = "done"
    NOTHING_TO_DO = "nothing_to_do"
    REFUSED = "refused"
    """Not started: a gate is closed or a precondition does not hold. The detail says which."""

    FAILED = "failed"
    UNKNOWN = "unknown"
    """The process died in the middle of it."""


WRONG_CLOCK = timedelta(days=1)
"""What was noted further in the future than this was noted while the clock was wrong."""

GOOD = frozenset({Outcome.DONE, Outcome.NOTHING_TO_DO})


@dataclass(frozen=True, kw_only=True)
class JobRun:
    """One run of a job, or a due time at which it was refused."""

    id: int
    job: str
    due_at: datetime | None
    """None: a person started it."""

    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome
    detail: str
    actor: str
    replica: str


@dataclass(frozen=True, kw_only=True)
class JobState:
    """What is stored of a job beside its runs."""

    name: str
    handled_at: datetime
    """Up to when due times are dealt with: run, refused or skipped."""

    held_due_at: datetime | None = None
    """The due time that a closed gate holds back."""

    held_by: str | None = None
    paused_at: datetime | None = None
    paused_by: str | None = None
    paused_reason: str | None = None
