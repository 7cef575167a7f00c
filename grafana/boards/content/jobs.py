"""Recurring work: what failed, what is due, how long it takes."""

from grafana.boards.panels import above, lines, row, timeline
from grafana.boards.words import age, most

JOBS = row(
    "Jobs",
    (
        timeline(
            "Jobs whose last run failed",
            "max by (name) (trading_ops_job_failing)",
            "{{name}}",
            "Failed, or of unknown outcome because the process died in the middle of it.",
            limits=above(1),
            runbook="TradingOpsJobFailed",
        ),
        lines(
            "Late by",
            "s",
            age("trading_ops_job_expected_timestamp_seconds", "name"),
            "Time since a job should have begun at the latest; below zero: not due yet.",
            limits=above(0, 60),
            runbook="TradingOpsJobMissed",
        ),
        lines(
            "Age of the last success",
            "s",
            age("trading_ops_job_last_success_timestamp_seconds", "name"),
            "Of each job that ever succeeded.",
        ),
        lines(
            "Duration of the last run",
            "s",
            most("trading_ops_job_duration_seconds", "name"),
            "A job is cut off at its timeout.",
        ),
    ),
)
