"""Verifies that a backup can be restored: reads it back, compares it, opens its databases."""

import asyncio
import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trading_ops import clock
from trading_ops.backup import disk, sqlite
from trading_ops.backup.bot_start import start_bots
from trading_ops.backup.manifest import CapturedDatabase, Damaged, Manifest, differences
from trading_ops.backup.records import BackupRecords, Record, record_of
from trading_ops.backup.repository import Repository
from trading_ops.backup.running import READING, noted, only_one
from trading_ops.config.settings import Settings
from trading_ops.domain.backup import Operation
from trading_ops.errors import ConfigError, SetupError
from trading_ops.store.migrate import HEAD
from trading_ops.store.reader import open_reader

if TYPE_CHECKING:
    from trading_ops.backup.postgresql.recovery import Scratch

NO_BACKUP = "the repository has no backup. Fix: run `trading-ops backup create`"
ANCHORS = "var/audit/anchors"
AUDIT_KEY = "var/secrets/audit_key"


def verify(
    settings: Settings, repository: Repository, manifest: Manifest, *, restore_test: bool
) -> Record:
    """Restore a backup into a scratch folder, compare it, and record the result.

    Args:
        settings: of this installation.
        repository: with the backup.
        manifest: of the backup.
        restore_test: also open its databases, compare their content and verify the audit chain,
            whose duration is the measured recovery time, and then start the bots in observe mode.

    Raises:
        Damaged: the backup cannot be restored as it was taken.
        BotsNotStarted: the backup is intact, and is recorded as such.
        TradingOpsError: the repository or this host failed; the backup may be intact.
    """
    records = BackupRecords(settings.backup_records)
    operation = Operation.RESTORE_TEST if restore_test else Operation.VERIFY
    with only_one(settings, READING), noted(records, operation):
        scratch = settings.backup_work / "verify"
        disk.require_space(settings.backup_work, manifest.bytes, "the restore test")
        disk.empty_folder(scratch)
        began = clock.monotonic()
        try:
            problems = fetch(repository, manifest, scratch)
            if restore_test and not problems:
                problems = check_contents(settings, manifest, scratch)
            seconds = round(clock.monotonic() - began, 3)
            record = msgspec.structs.replace(
                records.get(manifest, repository.location),
                problem="; ".join(problems)[:500],
                checked_at=clock.now(),
            )
            if not problems:
                record = msgspec.structs.replace(record, verified_at=clock.now())
            if not problems and restore_test:
                record = msgspec.structs.replace(
                    record, restore_tested_at=clock.now(), restore_seconds=seconds
                )
            records.put(record)
            if problems:
                raise Damaged(f"backup {manifest.id} is damaged: {'; '.join(problems[:5])}")
            if restore_test:
                # Without a store it is the backup of a node: other hosts have bots too.
                only = None if manifest.store else settings.backup_folders
                start_bots(settings, scratch, only=only)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return record


def verified_longest_ago(
    settings: Settings, repository: Repository, manifests: Sequence[Manifest]
) -> Manifest:
    """Return the backup whose last verification, or else its creation, is the longest ago.

    Raises:
        SetupError: there is none.
    """
    if not manifests:
        raise SetupError(NO_BACKUP)
    known = BackupRecords(settings.backup_records).all()
    return min(
        manifests,
        key=lambda manifest: (
            known.get(manifest.id, record_of(manifest, repository.location)).last_checked
        ),
    )


def fetch(repository: Repository, manifest: Manifest, into: Path) -> list[str]:
    """Restore a backup into an empty folder; return the differences from its manifest.

    Raises:
        TradingOpsError: the repository cannot be read.
    """
    try:
        repository.fetch(manifest, into)
    except Damaged as error:
        return [str(error)]
    return differences(manifest, into)


def check_contents(settings: Settings, manifest: Manifest, folder: Path) -> list[str]:
    """Open the restored databases; return their problems, one sentence each."""
    problems: list[str] = []
    with contextlib.ExitStack() as opened:
        urls = {}
        for database in manifest.databases:
            path = folder / database.path
            if database.engine == "postgresql":
                try:
                    server = opened.enter_context(_recovered(database, path))
                except Damaged as error:
                    problems.append(str(error))
                    continue
                urls[database.path] = server.url
                problems += server.check(database)
            else:
                urls[database.path] = f"sqlite:///{path}"
                problems += _check_sqlite(database, path)
        store = manifest.store
        if store is None or problems:
            return problems
        if (store.revision or "") > HEAD:
            problems.append(f"schema revision {store.revision} is newer than this release, {HEAD}")
        return problems + _check_audit(settings, urls[store.path], folder)


def _recovered(
    database: CapturedDatabase, path: Path
) -> "contextlib.AbstractContextManager[Scratch]":
    from trading_ops.backup.postgresql import recovery  # noqa: PLC0415 - needs the driver

    return recovery.recovered(path, recovery.RecoveryTarget(lsn=database.wal_counted), scratch=True)


def _check_sqlite(expected: CapturedDatabase, path: Path) -> list[str]:
    if problems := sqlite.check(path):
        return problems
    found = sqlite.describe(path, expected.path)
    return [] if found == expected else [f"{expected.path} contains {found}, expected {expected}"]


def _check_audit(settings: Settings, url: str, folder: Path) -> list[str]:
    from trading_ops.audit import report as audit  # noqa: PLC0415 - only a restore test needs it

    keys = audit_keys(settings, folder)
    if not keys:
        return ["cannot verify the audit chain: the audit key is missing in var/secrets"]
    anchors = folder / ANCHORS
    # A new installation has no such file in its first minute.
    found = audit.read_anchors([anchors] if anchors.exists() else [], keys)

    async def run() -> list[str]:
        with open_reader(url) as reader:
            verdict = await audit.verify(reader, keys, found)
        return [] if verdict.problem is None else [f"audit: {verdict.problem.detail}"]

    return asyncio.run(run())


def audit_keys(settings: Settings, restored: Path) -> Sequence[bytes]:
    """Return the audit keys in the backup, or those of this installation."""
    path = restored / AUDIT_KEY
    if path.is_file():
        return [line.strip() for line in path.read_bytes().splitlines() if line.strip()]
    try:
        return [key.encode() for key in settings.accepted_secrets("audit_key")]
    except ConfigError:
        return []
