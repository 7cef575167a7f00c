"""One backup, as the reconciler knows it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Backup:
    """What was taken, and what is proven of it."""

    id: str
    created_at: datetime
    recoverable_to: datetime
    """Whatever was committed before this moment is in it."""

    location: str
    bytes: int
    files: int
    release: str
    revision: str | None
    """Of the schema of the reconciler's database."""

    audit_head: int | None
    """The newest event in it."""

    verified_at: datetime | None
    restore_tested_at: datetime | None
    restore_milliseconds: int | None
    """The time that the last restore test took: the measured RTO."""

    problem: str
    """What the last verification found; empty: nothing."""
