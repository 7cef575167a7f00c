"""The watchers, watched: the reconciler's own health, and the way of an alert to it."""

from grafana.boards.content.series import OF_NOTIFICATIONS
from grafana.boards.panels import GREEN, RED, above, below, events, lines, row, steps, timeline
from grafana.boards.words import age, gain, least, most, quantiles, rate

WATCHERS = row(
    "Health of the reconciler",
    (
        lines(
            "Age of the last poll",
            "s",
            {
                **age("trading_ops_poll_last_success_timestamp_seconds", "source"),
                "watchdog": "time() - max(trading_ops_watchdog_last_seen_timestamp_seconds > 0)",
            },
            "Time since it last read Prometheus and Alertmanager (every 15 s), and since it saw "
            "Watchdog (every 60 to 75 s; missing after 180).",
            limits=above(90, 180),
            runbook="TradingOpsWatchdogMissing TradingOpsPollFailing TradingOpsValueImpossible",
        ),
        lines(
            "Time of a pass",
            "s",
            quantiles("trading_ops_reconcile_duration_seconds"),
            "One pass of its loop.",
            limits=above(0.5, 5),
            runbook="TradingOpsReconcilerStuck",
        ),
        lines(
            "Time of a commit",
            "s",
            quantiles("trading_ops_writer_commit_duration_seconds"),
            "One transaction, whatever the number of its requests.",
            limits=above(0.1, 1),
            runbook="TradingOpsReconcilerStuck",
        ),
        steps(
            "Backlog",
            "short",
            {
                "notifications {{state}}": "max by (state) (trading_ops_webhook_queue_length)",
                "requests to the writer": "max(trading_ops_writer_queue_requests)",
                "holds not stored yet": "max(trading_ops_holds_not_stored)",
                "messages {{state}}": "max by (state) (trading_ops_messages_unsent)",
            },
            "Stored notifications, requests to write, holds that only the journal has; messages "
            "that wait or were given up.",
            limits=above(10, 50),
            runbook="TradingOpsWebhookBacklog TradingOpsHoldsNotStored TradingOpsMessagesFailing",
        ),
    ),
    (
        timeline(
            "May start actions",
            "max by (instance) (trading_ops_lease_held)",
            "{{instance}}",
            "Whether each replica holds its lease.",
            limits=below(1),
            runbook="TradingOpsLeaseLost",
        ),
        lines(
            "Background tasks: time since last success",
            "s",
            age("trading_ops_task_last_success_timestamp_seconds", "task"),
            "Of each task of the reconciler. Each is a few seconds, but for the anchors' minute.",
            limits=above(60, 90),
            runbook="TradingOpsTaskStalled",
        ),
        lines(
            "Age of the audit anchor",
            "s",
            age("trading_ops_audit_anchor_timestamp_seconds", "instance"),
            "Time since the head of the audit chain was written outside the database; each minute.",
            limits=above(120, 600),
            runbook="TradingOpsAuditNotAnchored TradingOpsAuditHistoryChanged",
        ),
        lines(
            "Memory of the watchers",
            "bytes",
            most(
                "trading_process_resident_bytes"
                '{process=~"reconciler|exporter|prometheus|alertmanager"}',
                "process",
            ),
            "Of the reconciler and of what it stands on, as the exporter sees their processes.",
            limits=above(100 * 2**20, 300 * 2**20),
        ),
    ),
)

PATH = row(
    "Path of an alert",
    (
        timeline(
            "Targets that answer",
            "min by (job, instance) (up)",
            "{{job}} {{instance}}",
            "Each target's scrapes, by job.",
            limits=below(1),
            runbook="TradingOpsReconcilerDown TradingOpsExporterDown TradingOpsAlertmanagerDown "
            "TradingOpsPrometheusDown TradingOpsSupervisorDown TradingOpsNodeDown",
        ),
        events(
            "Rules that failed or came too late",
            "short",
            {
                "failed": "sum(increase("
                "prometheus_rule_evaluation_failures_total[$__rate_interval]))",
                "missed": "sum(increase("
                "prometheus_rule_group_iterations_missed_total[$__rate_interval]))",
            },
            "A rule that is not evaluated neither fires nor resolves.",
            limits=above(1, 10),
            runbook="TradingOpsRuleFailing",
        ),
        lines(
            "Notifications received",
            "cps",
            rate("trading_ops_notifications_total", "result")
            | rate("trading_ops_alerts_ignored_total", called="alerts ignored"),
            "By the reconciler, per second. Alertmanager sends refused ones again. Quarantined: "
            "not understood. Ignored: alerts without our label page_after.",
            colors=OF_NOTIFICATIONS,
            runbook="TradingOpsNotificationsRefused TradingOpsNotificationQuarantined",
        ),
        events(
            "Notifications that failed",
            "short",
            gain("alertmanager_notifications_failed_total", "integration"),
            "Notifications to on-call, by integration, of every Alertmanager.",
            limits=above(1, 3),
            runbook="TradingOpsNotificationsFailing",
        ),
    ),
    (
        timeline(
            "Prometheus took its configuration",
            "min by (instance) (prometheus_config_last_reload_successful)",
            "{{instance}}",
            "Whether the last change was loaded. After one that was not, it runs on with the old "
            "one, and will not start.",
            states=(("0", "refused", RED), ("1", "loaded", GREEN)),
            limits=below(1),
            runbook="TradingOpsPrometheusConfigBad",
        ),
        timeline(
            "Clocks that stepped",
            "max by (clock) (trading_ops_clock_stepped)",
            "{{clock}}",
            "A clock stepped within the last 5 min, or differs from the reconciler's by a minute.",
            states=(("0", "right", GREEN), ("1", "stepped", RED)),
            limits=above(1),
            runbook="TradingOpsClockStepped",
        ),
        steps(
            "Prometheus and its Alertmanagers",
            "short",
            {
                **least(
                    "prometheus_notifications_alertmanagers_discovered",
                    "instance",
                    called="Alertmanagers known",
                ),
                **gain(
                    "prometheus_notifications_errors_total",
                    "instance",
                    called="failed sendings or alerts",
                ),
            },
            "Those that it knows; at none people hear of nothing. And what it failed to send.",
            runbook="TradingOpsAlertsUndelivered",
        ),
        steps(
            "Alerts in Alertmanager",
            "short",
            most("alertmanager_alerts", "state"),
            "Active ones, Watchdog among them, and those that a silence or an inhibition holds "
            "back.",
            limits=above(3, 10),
        ),
    ),
)
