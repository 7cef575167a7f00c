"""`backup create`: capture, describe, check and store."""

import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from trading_ops import __version__, clock, logs
from trading_ops.backup import disk, sqlite
from trading_ops.backup.manifest import CapturedDatabase, Manifest, describe, new_id
from trading_ops.backup.records import BackupRecords, Record, record_of
from trading_ops.backup.repository import Repository
from trading_ops.backup.running import TAKING, noted, only_one
from trading_ops.backup.sources import BOTS, BackupSource, archive_sources, bot_sources, sources
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
        TradingOpsError: it could not be taken or stored; earlier backups are unchanged. Or it was
            stored without the records of a bot that could not be read.
    """
    records = BackupRecords(settings.backup_records)
    with only_one(settings, TAKING), noted(records, Operation.CREATE):
        began, now = clock.monotonic(), clock.now()
        staging = disk.empty_folder(settings.backup_work / "create")
        try:
            secrets = repository.encrypted
            of_bots, unread = _capture_bots(settings, staging, secrets=secrets)
            databases = _capture(sources(settings, secrets=secrets), staging)
            _refuse_old(settings, databases)
            databases += of_bots
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
        if unread:
            raise StoreError(
                f"backup {record.id} was stored without the records of {len(unread)} bots: "
                f"{'; '.join(unread)}. Fix: let the user of trading-ops read these folders, or "
                "correct backup_folders in settings.yml"
            )
        return record


def _space(repository: Repository) -> disk.Space | None:
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


def _capture_bots(
    settings: Settings, staging: Path, *, secrets: bool
) -> tuple[tuple[CapturedDatabase, ...], list[str]]:
    """Copy the records of bots outside of `var`; one that cannot be read does not stop the rest.

    Returns:
        Their databases, and a problem for each bot that was left out.
    """
    databases: tuple[CapturedDatabase, ...] = ()
    problems = []
    for name, folder in settings.backup_folders.items():
        try:
            databases += _capture(bot_sources(name, folder, secrets=secrets), staging)
        except OSError as error:
            problems.append(f"{name}: {error.filename or folder}: {error.strerror}")
        except StoreError as error:
            problems.append(f"{name}: {error}")
        else:
            continue
        shutil.rmtree(staging / BOTS / name, ignore_errors=True)
    return databases, problems


def _capture(found: Iterable[BackupSource], staging: Path) -> tuple[CapturedDatabase, ...]:
    """Copy plain files first, databases last.

    The audit anchors are then older than the database: newer ones would report it as truncated.
    """
    plain: list[BackupSource] = []
    databases: list[BackupSource] = []
    for source in found:
        try:
            (databases if sqlite.is_database(source.path) else plain).append(source)
        except FileNotFoundError:
            continue
    needed = sum(_size(source.path) for source in (*plain, *databases))
    disk.require_space(staging, needed, "the copy for the backup")
    for source in plain:
        _copy_file(source, staging / source.name)
    return tuple(_copy_database(source, staging / source.name) for source in databases)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _copy_file(source: BackupSource, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        shutil.copyfile(source.path, target, follow_symlinks=False)
        target.chmod(source.path.stat().st_mode & 0o777)
    except FileNotFoundError:
        target.unlink(missing_ok=True)  # deleted since it was listed
    except OSError as error:
        raise StoreError(f"{source.path} could not be copied: {error.strerror}") from error


def _copy_database(source: BackupSource, target: Path) -> CapturedDatabase:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        sqlite.copy(source.path, target)
        described = sqlite.describe(target, source.name)
    except sqlite3.Error as error:
        raise StoreError(f"{source.path} could not be copied: {error}") from error
    if problems := sqlite.check(target):
        raise StoreError(f"{source.path} is damaged: {'; '.join(problems)}")
    return described


def _refuse_old(settings: Settings, databases: Iterable[CapturedDatabase]) -> None:
    """Refuse a backup that lacks the existing database of the reconciler."""
    path = sqlite_path(settings.database_url)
    has_store = any(database.audit_head is not None for database in databases)
    if path is not None and path.exists() and not has_store:
        raise StoreError(f"{path} is not in the backup: it has no audit chain")
