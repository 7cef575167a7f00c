"""A backup as recorded by the reconciler."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A backup and its verification."""

    id: str
    created_at: datetime
    recoverable_to: datetime
    """All data committed before this time is included."""

    location: str
    bytes: int
    files: int
    release: str
    revision: str | None
    """Schema revision of the reconciler's database."""

    audit_head: int | None
    """Number of the newest event in it."""

    verified_at: datetime | None
    restore_tested_at: datetime | None
    restore_milliseconds: int | None
    """Duration of the last restore test: the measured RTO."""

    problem: str
    """Problem found by the last verification; empty: none."""
