"""Backups on the databases board: RPO, RTO and verification."""

from grafana.boards.panels import GREEN, RED, above, lines, row, timeline

OVERDUE = "TradingOpsBackupOverdue"
UNTESTED = "TradingOpsBackupNotVerified"
FULL = "TradingOpsBackupTargetFull"
FAILED = "TradingOpsBackupFailed"

BACKUPS = row(
    "Backups",
    (
        lines(
            "Recovery point",
            "s",
            {
                "age of the newest backup {{host}}": "time() - (max by (host) ("
                "trading_ops_backup_recoverable_to_timestamp_seconds) > 0)",
                "interval {{host}}": "max by (host) (trading_ops_backup_interval_seconds)",
            },
            "Data loss of a restore now (RPO), and the backup interval.",
            limits=above(600, 900),
            runbook=OVERDUE,
        ),
        lines(
            "Time since verification",
            "s",
            {
                "restore test {{host}}": "time() - (max by (host) ("
                "trading_ops_backup_last_restore_test_timestamp_seconds) > 0)",
                "every file compared {{host}}": "time() - (max by (host) ("
                "trading_ops_backup_last_verified_timestamp_seconds) > 0)",
            },
            "A restore test runs once a day.",
            limits=above(86400 + 3600, 2 * 86400),
            runbook=UNTESTED,
        ),
        lines(
            "Recovery time",
            "s",
            {
                "last restore test {{host}}": "max by (host) ("
                "trading_ops_backup_restore_duration_seconds)"
            },
            "Duration of the last restore test, from the repository to verified databases (RTO).",
            limits=above(120, 300),
            runbook=UNTESTED,
        ),
        lines(
            "Backup size",
            "bytes",
            {"newest backup {{host}}": "max by (host) (trading_ops_backup_size_bytes)"},
            "Total file size, before deduplication.",
            runbook=FAILED,
        ),
    ),
    (
        lines(
            "Free space of the repository",
            "bytes",
            {
                "free {{host}}": "max by (host) (trading_ops_backup_repository_free_bytes) and "
                "max by (host) (trading_ops_backup_repository_capacity_bytes) > 0",
                "three full backups {{host}}": "3 * max by (host) (trading_ops_backup_size_bytes)",
            },
            "After the newest backup. No data if the repository is on another host.",
            runbook=FULL,
        ),
        timeline(
            "Last run of each backup command",
            "max by (host, operation) (trading_ops_backup_failed)",
            "{{operation}} {{host}}",
            "A failed command is retried after five minutes.",
            states=(("0", "succeeded", GREEN), ("1", "failed", RED)),
            limits=above(1),
            runbook=FAILED,
        ),
    ),
)
