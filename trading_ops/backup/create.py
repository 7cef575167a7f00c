"""`backup create`: capture, describe, check and store."""

import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from trading_ops import __version__, clock, logs
from trading_ops.backup import durable, sqlite
from trading_ops.backup.manifest import Database, Manifest, describe, new_id
from trading_ops.backup.records import Record, Records, record_of
from trading_ops.backup.repository import Repository
from trading_ops.backup.running import noted, only_one
from trading_ops.backup.sources import Source, archive_sources, sources
from trading_ops.config.settings import Settings
from trading_ops.domain.backup import Operation
from trading_ops.errors import StoreError
from trading_ops.store.engine import sqlite_path

if TYPE_CHECKING:
    from trading_ops.backup.postgresql.capture import Captured

log = logs.get(__name__)


def create(settings: Settings, repository: Repository) -> Record:
    """Take a backup of everything and store it.

    Raises:
        TradingOpsError: it could not be taken or stored; earlier backups are unchanged.
    """
    records = Records(settings.backup_records)
    with only_one(settings), noted(records, Operation.CREATE):
        began, now = clock.monotonic(), clock.now()
        staging = durable.empty_folder(settings.backup_work / "create")
        try:
            databases = _capture(settings, staging, secrets=repository.encrypted)
            captured = _capture_postgresql(settings, staging)
            # Last, so that the archive has every event that the copied database no longer has.
            for source in archive_sources(settings):
                _copy_file(source, staging / source.name)
            if captured is not None:
                databases = (captured.database, *databases)
            manifest = Manifest(
                id=new_id(now),
                created_at=now,
                recoverable_to=(captured and captured.database.recoverable_to) or now,
                release=__version__,
                secrets=repository.encrypted,
                entries=describe(staging, captured.known if captured else {}),
                databases=databases,
            )
            repository.add(staging, manifest)
            if captured is not None:
                captured.chain.forget()
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        took = round(clock.monotonic() - began, 3)
        record = record_of(manifest, repository.location, took, _space(repository))
        records.put(record)
        return record


def _space(repository: Repository) -> durable.Space | None:
    try:
        return repository.space()
    except OSError as error:  # the backup is stored anyway
        log.warning("backup_space_unknown", repository=repository.location, error=str(error))
        return None


def _capture_postgresql(settings: Settings, staging: Path) -> "Captured | None":
    """Capture PostgreSQL last, like all databases."""
    url = settings.backup_database_url
    if url is None:
        return None
    from trading_ops.backup.postgresql.capture import capture  # noqa: PLC0415 - needs the driver

    return capture(settings, url, staging)


def _capture(settings: Settings, staging: Path, *, secrets: bool) -> tuple[Database, ...]:
    """Copy plain files first, databases last.

    The audit anchors are then older than the database: newer ones would report it as truncated.
    """
    plain: list[Source] = []
    databases: list[Source] = []
    for source in sources(settings, secrets=secrets):
        try:
            (databases if sqlite.is_database(source.path) else plain).append(source)
        except FileNotFoundError:
            continue
    needed = sum(_size(source.path) for source in (*plain, *databases))
    durable.require_space(staging, needed, "the copy for the backup")
    for source in plain:
        _copy_file(source, staging / source.name)
    described = [_copy_database(source, staging / source.name) for source in databases]
    _refuse_old(settings, described)
    return tuple(described)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _copy_file(source: Source, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        shutil.copyfile(source.path, target, follow_symlinks=False)
        target.chmod(source.path.stat().st_mode & 0o777)
    except FileNotFoundError:
        target.unlink(missing_ok=True)  # deleted since it was listed
    except OSError as error:
        raise StoreError(f"{source.path} could not be copied: {error.strerror}") from error


def _copy_database(source: Source, target: Path) -> Database:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        sqlite.copy(source.path, target)
        described = sqlite.describe(target, source.name)
    except sqlite3.Error as error:
        raise StoreError(f"{source.path} could not be copied: {error}") from error
    if problems := sqlite.check(target):
        raise StoreError(f"{source.path} is damaged: {'; '.join(problems)}")
    return described


def _refuse_old(settings: Settings, databases: list[Database]) -> None:
    """Refuse a backup that lacks the existing database of the reconciler."""
    path = sqlite_path(settings.database_url)
    has_store = any(database.audit_head is not None for database in databases)
    if path is not None and path.exists() and not has_store:
        raise StoreError(f"{path} is not in the backup: it has no audit chain")
