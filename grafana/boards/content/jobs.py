"""Jobs: failures, due times and durations."""

from grafana.boards.panels import above, lines, row, timeline
from grafana.boards.words import age, most

JOBS = row(
    "Jobs",
    (
        timeline(
            "Failed jobs",
            "max by (name) (trading_ops_job_failing)",
            "{{name}}",
            "Last run failed, or has an unknown outcome because the process died.",
            limits=above(1),
            runbook="TradingOpsJobFailed",
        ),
        timeline(
            "Failed retention",
            "max by (kind) (trading_ops_retention_failing)",
            "{{kind}}",
            "Old records were not archived or removed in the last run.",
            limits=above(1),
            runbook="TradingOpsRetentionFailed",
        ),
        timeline(
            "Holds left by maintenance",
            "max by (bot) (trading_ops_maintenance_holds_left)",
            "{{bot}}",
            "An operator restricted the bot in a maintenance window that has ended.",
            limits=above(1),
            runbook="TradingOpsMaintenanceHoldLeft",
        ),
    ),
    (
        lines(
            "Maintenance ends in",
            "s",
            {
                "{{target}}": "max by (target) "
                "(trading_ops_maintenance_end_timestamp_seconds) - time()"
            },
            "Time until the open window ends and automation resumes.",
            runbook="TradingOpsMaintenanceEnding",
        ),
    ),
    (
        lines(
            "Overdue by",
            "s",
            age("trading_ops_job_expected_timestamp_seconds", "name"),
            "Time since a job's latest start; negative: not due yet.",
            limits=above(0, 60),
            runbook="TradingOpsJobMissed TradingOpsDailySummaryMissing",
        ),
        lines(
            "Age of the last success",
            "s",
            age("trading_ops_job_last_success_timestamp_seconds", "name"),
            "Of jobs that have succeeded at least once.",
        ),
        lines(
            "Duration of the last run",
            "s",
            most("trading_ops_job_duration_seconds", "name"),
            "A job is aborted at its timeout.",
        ),
    ),
)
