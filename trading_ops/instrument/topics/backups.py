"""Backups of the installation.

A node exports them too, for the records of bots on a host without a reconciler.
"""

from functools import partial

from trading_ops.instrument.metric import Metric, MetricType, Owner

_gauge = partial(Metric, kind=MetricType.GAUGE, owner=Owner.RECONCILER)

BACKUP_METRICS: tuple[Metric, ...] = (
    _gauge(
        name="trading_ops_backup_interval_seconds",
        unit="seconds",
        help="Interval between automatic backups; 0: off.",
        why="The maximum age of the newest backup.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_backup_last_success_timestamp_seconds",
        unit="seconds",
        help="Time of the newest backup, Unix time; 0: never.",
        why="Later changes are lost with the disk.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_backup_recoverable_to_timestamp_seconds",
        unit="seconds",
        help="The newest backup contains all data up to this Unix time; 0: never.",
        why="Its age is the current RPO.",
    ),
    _gauge(
        name="trading_ops_backup_last_verified_timestamp_seconds",
        unit="seconds",
        help="Time of the last complete verification of a backup, Unix time; 0: never.",
        why="A repository can become corrupt on disk.",
    ),
    _gauge(
        name="trading_ops_backup_last_restore_test_timestamp_seconds",
        unit="seconds",
        help="Time of the last successful restore test, Unix time; 0: never.",
        why="Only a restore-tested backup is reliable.",
    ),
    _gauge(
        name="trading_ops_backup_untested_since_timestamp_seconds",
        unit="seconds",
        help="Time of the oldest backup newer than the last tested one, Unix time; 0: none.",
        why="Backups since then are untested.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_backup_size_bytes",
        unit="bytes",
        help="Size of the files in the newest backup.",
        why="A sudden drop means that the backup is incomplete.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_backup_repository_free_bytes",
        unit="bytes",
        help="Free space of the repository's file system after the newest backup.",
        why="A full repository takes no backups.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_backup_repository_capacity_bytes",
        unit="bytes",
        help="Size of the repository's file system; 0: the repository is not a local folder.",
        why="The base for the free ratio; 0 turns the alert off.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_backup_restore_duration_seconds",
        unit="seconds",
        help="Duration of the last successful restore test; 0 before the first.",
        why="The measured RTO.",
    ),
    _gauge(
        name="trading_ops_backup_failed",
        labels=("operation",),
        values={"operation": ("create", "verify", "restore_test", "prune")},
        help="1 if the last run of a backup command failed, else 0.",
        why="Failed backups otherwise go unnoticed until needed.",
        vital=True,
    ),
)
