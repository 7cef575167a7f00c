"""`backup prune`: remove expired backups, never the newest backup that can be restored."""

from trading_ops.backup.records import BackupRecords
from trading_ops.backup.repository import Repository
from trading_ops.backup.retention import Keep, Kept, to_remove
from trading_ops.backup.running import noted, only_one
from trading_ops.config.settings import Settings
from trading_ops.domain.backup import Operation


def prune(settings: Settings, repository: Repository, *, dry_run: bool = False) -> list[str]:
    """Remove old backups; return their ids.

    Raises:
        TradingOpsError: the repository cannot be read or changed.
    """
    records = BackupRecords(settings.backup_records)
    with only_one(settings), noted(records, Operation.PRUNE):
        known, listing = records.all(), repository.listing()
        backups = [
            Kept(
                id=manifest.id,
                created_at=manifest.created_at,
                period=manifest.period,
                is_restorable=manifest.id in known
                and known[manifest.id].restore_tested_at is not None
                and not known[manifest.id].problem,
            )
            for manifest in listing.manifests
        ]
        ids = to_remove(backups, keep_of(settings))
        if ids and not dry_run:
            repository.remove(ids)
        # A backup whose manifest cannot be read, perhaps only now, may still be there.
        if not dry_run and not listing.damaged:
            kept = {manifest.id for manifest in listing.manifests} - set(ids)
            for key in known.keys() - kept:
                records.forget(key)
        return ids


def keep_of(settings: Settings) -> Keep:
    """Return the retention of the settings."""
    return Keep(
        last=settings.backup_keep_last,
        hourly=settings.backup_keep_hourly,
        daily=settings.backup_keep_daily,
        weekly=settings.backup_keep_weekly,
        monthly=settings.backup_keep_monthly,
    )
