"""The backups of this installation, for the API and the audit log.

The repository is authoritative; this table has what the reconciler last read from it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

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
    return [Backup(**row) for row in rows.mappings()]


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
