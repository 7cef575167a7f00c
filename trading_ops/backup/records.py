"""The state of this host's backups: a small file for each, and one for the last runs.

The command line writes them, with the reconciler running or not; the reconciler reads them into
its store, its events and its metrics.
"""

import fcntl
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from trading_ops import durable, logs
from trading_ops.backup import disk
from trading_ops.backup.disk import Space
from trading_ops.backup.manifest import Manifest
from trading_ops.domain.backup import Operation

log = logs.get(__name__)

RUNS = "runs.json"
DETAIL = 500
"""Characters of an error that are recorded."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One backup."""

    id: str
    created_at: datetime
    recoverable_to: datetime
    location: str
    bytes: int
    files: int
    release: str
    revision: str | None = None
    audit_head: int | None = None
    took_seconds: float = 0.0
    free_bytes: int | None = None
    """Free space of the repository's file system after the backup; None: unknown."""

    file_system_bytes: int | None = None
    verified_at: datetime | None = None
    checked_at: datetime | None = None
    """The last verification or restore test, whatever it found."""

    restore_tested_at: datetime | None = None
    restore_seconds: float | None = None
    problem: str = ""
    """Problem found by the last verification or restore test; empty: none."""

    @property
    def last_checked(self) -> datetime:
        """Return when it was last read back, or else created."""
        return self.checked_at or self.verified_at or self.created_at


class BackupRun(msgspec.Struct, frozen=True, kw_only=True):
    """The last run of an operation."""

    at: datetime
    succeeded: bool
    detail: str = ""
    retry: bool = True
    """After a failure: try again within minutes; false: within an hour."""


def record_of(
    manifest: Manifest, location: str, took_seconds: float = 0.0, space: Space | None = None
) -> Record:
    """Return the record of a new backup."""
    store = manifest.store
    return Record(
        id=manifest.id,
        created_at=manifest.created_at,
        recoverable_to=manifest.recoverable_to,
        location=location,
        bytes=manifest.bytes,
        files=len(manifest.entries),
        release=manifest.release,
        revision=store.revision if store else None,
        audit_head=store.audit_head if store else None,
        took_seconds=took_seconds,
        free_bytes=space and space.free,
        file_system_bytes=space and space.total,
    )


class BackupRecords:
    """The folder of records."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> dict[str, Record]:
        """Return the records, oldest first; unreadable ones are logged and skipped."""
        found = (_read(path, Record) for path in sorted(self._folder.glob("[0-9]*.json")))
        return {record.id: record for record in found if record is not None}

    def get(self, manifest: Manifest, location: str) -> Record:
        """Return the record of a backup, or a new one."""
        return self.all().get(manifest.id) or record_of(manifest, location)

    def put(self, record: Record) -> None:
        """Store a record."""
        folder = disk.private_folder(self._folder)
        durable.write(folder / f"{record.id}.json", msgspec.json.encode(record))

    def forget(self, key: str) -> None:
        """Remove a record."""
        (self._folder / f"{key}.json").unlink(missing_ok=True)

    def runs(self) -> dict[Operation, BackupRun]:
        """Return the last run of each operation."""
        return _read(self._folder / RUNS, dict[Operation, BackupRun]) or {}

    def ran(self, operation: Operation, run: BackupRun) -> None:
        """Store the last run of an operation."""
        folder = disk.private_folder(self._folder)
        # A backup may end together with a restore test: neither must lose the other's run.
        with (folder / "runs.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            durable.write(folder / RUNS, msgspec.json.encode({**self.runs(), operation: run}))


def _read(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.warning("backup_record_unreadable", path=str(path), error=str(error))
        return None
