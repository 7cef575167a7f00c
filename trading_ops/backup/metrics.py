"""Metrics of the backups of this host."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry

from trading_ops.backup.records import BackupRun, Record
from trading_ops.domain.backup import Operation
from trading_ops.instrument.families import gauge


class BackupMetrics:
    """Backups and their verification."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.interval = gauge("trading_ops_backup_interval_seconds", registry)
        self.created = gauge("trading_ops_backup_last_success_timestamp_seconds", registry)
        self.recoverable = gauge("trading_ops_backup_recoverable_to_timestamp_seconds", registry)
        self.verified = gauge("trading_ops_backup_last_verified_timestamp_seconds", registry)
        self.tested = gauge("trading_ops_backup_last_restore_test_timestamp_seconds", registry)
        self.untested = gauge("trading_ops_backup_untested_since_timestamp_seconds", registry)
        self.size = gauge("trading_ops_backup_size_bytes", registry)
        self.free = gauge("trading_ops_backup_repository_free_bytes", registry)
        self.capacity = gauge("trading_ops_backup_repository_capacity_bytes", registry)
        self.restore = gauge("trading_ops_backup_restore_duration_seconds", registry)
        self.failed = gauge("trading_ops_backup_failed", registry)
        for operation in Operation:
            self.failed.labels(operation.value)

    def show(
        self,
        interval: timedelta,
        known: Mapping[str, Record],
        runs: Mapping[Operation, BackupRun],
    ) -> None:
        """Set all of them.

        Args:
            interval: between automatic backups; zero: off.
            known: the records of all backups, oldest first.
            runs: the last run of each operation.
        """
        stored = list(known.values())
        self.interval.set(interval.total_seconds())
        for operation in Operation:
            run = runs.get(operation)
            self.failed.labels(operation.value).set(run is not None and not run.succeeded)
        newest = stored[-1] if stored else None
        tested = [record for record in stored if record.restore_tested_at and not record.problem]
        last = max(tested, key=lambda record: _stamp(record.restore_tested_at), default=None)
        untested = [
            record for record in stored if last is None or record.created_at > last.created_at
        ]
        self.created.set(_stamp(newest.created_at if newest else None))
        self.recoverable.set(_stamp(newest.recoverable_to if newest else None))
        self.size.set(newest.bytes if newest else 0)
        self.free.set((newest and newest.free_bytes) or 0)
        self.capacity.set((newest and newest.file_system_bytes) or 0)
        self.verified.set(max((_stamp(record.verified_at) for record in stored), default=0.0))
        self.tested.set(_stamp(last.restore_tested_at if last else None))
        self.untested.set(min((_stamp(record.created_at) for record in untested), default=0.0))
        self.restore.set((last and last.restore_seconds) or 0.0)


def _stamp(at: datetime | None) -> float:
    return at.timestamp() if at else 0.0
