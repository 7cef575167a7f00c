"""The backups of this installation, for the API and the audit log, and our schema in a copy.

The repository is authoritative; the table has what the reconciler last read from it.
"""

from collections.abc import Callable, Container, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from trading_ops.domain.backup import Backup
from trading_ops.store import events
from trading_ops.store.tables import backups


def replace(connection: Connection, known: Mapping[str, Backup], *, now: datetime) -> int:
    """Update the table; return how many rows changed."""
    rows = {backup.id: backup for backup in read(connection)}
    changed = 0
    for key, backup in known.items():
        before = rows.pop(key, None)
        if before == backup:
            continue
        changed += 1
        _put(connection, backup, before, now=now)
    for gone in rows.values():
        changed += 1
        connection.execute(delete(backups).where(backups.c.id == gone.id))
        events.add(connection, at=now, kind="backup_removed", note=gone.id)
    return changed


def read(connection: Connection) -> list[Backup]:
    """Return all backups, newest first."""
    rows = connection.execute(
        select(backups).order_by(backups.c.created_at.desc(), backups.c.id.desc())
    )
    return [_from_row(row) for row in rows.mappings()]


def _from_row(row: RowMapping) -> Backup:
    """Return the backup of a row of the table."""
    return Backup(
        id=row["id"],
        created_at=row["created_at"],
        recoverable_to=row["recoverable_to"],
        location=row["location"],
        bytes=row["bytes"],
        files=row["files"],
        release=row["release"],
        revision=row["revision"],
        audit_head=row["audit_head"],
        verified_at=row["verified_at"],
        restore_tested_at=row["restore_tested_at"],
        restore_milliseconds=row["restore_milliseconds"],
        problem=row["problem"],
    )


class StorePosition(NamedTuple):
    """How far a database is; None: it is not one of ours."""

    revision: str | None
    """Schema revision."""

    audit_head: int | None
    """Number of the newest event; 0: none."""


def position(tables: Container[str], first: Callable[[str], Any]) -> StorePosition:
    """Return how far a copy of a database is, which may be of an older schema or not ours.

    Args:
        tables: those that it has.
        first: runs a query and returns the first value of the first row; None without rows.
    """
    revision = head = None
    if "alembic_version" in tables:
        revision = first("SELECT version_num FROM alembic_version")
    if "chain" in tables and "events" in tables:
        head = first("SELECT seq FROM chain WHERE id = 1") or 0
    return StorePosition(revision, head)


def table_owner(connection: Connection) -> str | None:
    """Return the role that owns our tables in PostgreSQL; None if it cannot log in."""
    owner: str | None = connection.exec_driver_sql(
        "SELECT rolname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner"
        " WHERE c.oid = 'events'::regclass AND r.rolcanlogin"
    ).scalar()
    return owner


def _put(connection: Connection, backup: Backup, before: Backup | None, *, now: datetime) -> None:
    values: dict[str, Any] = {name: getattr(backup, name) for name in backups.c.keys()}  # noqa: SIM118
    if before is None:
        connection.execute(insert(backups).values(values))
    else:
        connection.execute(update(backups).where(backups.c.id == backup.id).values(values))
    events.add(
        connection,
        at=now,
        kind=_kind(backup, before),
        reason=backup.problem,
        note=backup.id,
        after={"bytes": backup.bytes, "restore_milliseconds": backup.restore_milliseconds},
    )


def _kind(backup: Backup, before: Backup | None) -> str:
    if backup.problem:
        return "backup_damaged"
    if before is None:
        return "backup_taken"
    tested = backup.restore_tested_at != before.restore_tested_at
    return "backup_restore_tested" if tested else "backup_verified"
