"""A backup as recorded by the reconciler, and the commands that make and check backups."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Operation(StrEnum):
    """A backup command."""

    CREATE = "create"
    VERIFY = "verify"
    RESTORE_TEST = "restore_test"
    PRUNE = "prune"


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
