"""`restore`: selects a backup and writes it to a new folder, completely or not at all."""

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from trading_ops import durable
from trading_ops.backup import disk
from trading_ops.backup.manifest import Damaged, Manifest
from trading_ops.backup.repository import Repository
from trading_ops.backup.verify import NO_BACKUP, fetch
from trading_ops.errors import SetupError

LATEST = "latest"


def choose(
    manifests: Sequence[Manifest], wanted: str = LATEST, to: datetime | None = None
) -> Manifest:
    """Return the requested backup.

    Args:
        manifests: of the repository, oldest first.
        wanted: an ID, the beginning of one, or `latest`.
        to: selects the first backup from which PostgreSQL can be restored to exactly this moment,
            or else the newest one before it.

    Raises:
        SetupError: there is none, or several match.
    """
    if not manifests:
        raise SetupError(NO_BACKUP)
    if to is not None:
        exact = next((manifest for manifest in manifests if manifest.covers(to)), None)
        if exact is not None:
            return exact
        before = [manifest for manifest in manifests if manifest.recoverable_to <= to]
        if not before:
            oldest = manifests[0].recoverable_to
            raise SetupError(f"there is no backup before {to}; the oldest is from {oldest}")
        return before[-1]
    if wanted == LATEST:
        return manifests[-1]
    found = [manifest for manifest in manifests if manifest.id.startswith(wanted)]
    if len(found) != 1:
        how_many = "no backup has" if not found else "several backups have"
        raise SetupError(f"{how_many} the id {wanted!r}: see `trading-ops backup list`")
    return found[0]


def restore_into(
    repository: Repository, manifest: Manifest, into: Path, to: datetime | None = None
) -> None:
    """Write a backup into a new folder, which appears when it is complete and verified.

    PostgreSQL is recovered: `postgresql/data` is a data folder after a clean shutdown.

    Args:
        repository: with the backup.
        manifest: of the backup.
        into: the new folder.
        to: recovery target time of PostgreSQL; None: the end of the backup.

    Raises:
        SetupError: the folder is not empty, or there is too little space.
        Damaged: the backup does not match its manifest; nothing was written.
        TradingOpsError: the repository cannot be read.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise SetupError(f"{into} is not an empty folder. Fix: name a new one with --into")
    disk.require_space(into.parent, manifest.bytes, "the restore")
    scratch = disk.empty_folder(into.with_name(f".{into.name}.partial"))
    try:
        if problems := fetch(repository, manifest, scratch):
            raise Damaged(
                f"backup {manifest.id} is damaged: {'; '.join(problems[:5])}. Fix: restore an "
                "older one, see `trading-ops backup list`"
            )
        if manifest.postgresql is not None:
            _recover(manifest, scratch / manifest.postgresql.path, to)
        if into.exists():
            into.rmdir()
        scratch.replace(into)
        durable.sync(into.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _recover(manifest: Manifest, folder: Path, to: datetime | None) -> None:
    from trading_ops.backup.postgresql import recovery  # noqa: PLC0415 - needs the driver

    target = recovery.RecoveryTarget(time=to if to is not None and manifest.covers(to) else None)
    with recovery.recovered(folder, target):
        pass
