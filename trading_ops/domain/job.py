"""A job's stored state, and one run of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class JobOutcome(StrEnum):
    """Outcome of a run."""

    RUNNING = "running"
    DONE = "done"
    NOTHING_TO_DO = "nothing_to_do"
    REFUSED = "refused"
    """Not started: a gate is closed or a precondition failed; see the detail."""

    FAILED = "failed"
    UNKNOWN = "unknown"
    """The process died during the run."""


WRONG_CLOCK = timedelta(days=1)
"""Times further in the future than this were recorded with a wrong clock."""

GOOD = frozenset({JobOutcome.DONE, JobOutcome.NOTHING_TO_DO})


@dataclass(frozen=True, kw_only=True)
class JobRun:
    """One run of a job, or a refused due time."""

    id: int
    job: str
    due_at: datetime | None
    """None: started manually."""

    started_at: datetime
    ended_at: datetime | None
    outcome: JobOutcome
    detail: str
    actor: str
    replica: str


@dataclass(frozen=True, kw_only=True)
class JobState:
    """Stored state of a job besides its runs."""

    name: str
    handled_at: datetime
    """Due times up to this are handled: run, refused or skipped."""

    held_due_at: datetime | None = None
    """The due time that waits for a closed gate."""

    held_by: str | None = None
    paused_at: datetime | None = None
    paused_by: str | None = None
    paused_reason: str | None = None
