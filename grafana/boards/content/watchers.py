"""Meta-monitoring: the reconciler's own health, and the path of an alert to it."""

from grafana.boards.content.series import OF_NOTIFICATIONS
from grafana.boards.panels import (
    GREEN,
    PER_SECOND,
    RED,
    above,
    below,
    events,
    lines,
    row,
    steps,
    timeline,
)
from grafana.boards.words import age, gain, least, most, quantiles, rate

WATCHERS = row(
    "Reconciler health",
    (
        lines(
            "Age of the last poll",
            "s",
            {
                **age("trading_ops_poll_last_success_timestamp_seconds", "source"),
                "watchdog": "time() - max(trading_ops_watchdog_last_seen_timestamp_seconds > 0)",
            },
            "Time since it last polled Prometheus and Alertmanager (every 15 s), and since it "
            "received Watchdog (every 60 to 75 s; missing after 180).",
            limits=above(90, 180),
            runbook="TradingOpsWatchdogMissing TradingOpsPollFailing TradingOpsValueImpossible",
        ),
        lines(
            "Pass duration",
            "s",
            quantiles("trading_ops_reconcile_duration_seconds"),
            "Duration of a reconcile pass.",
            limits=above(0.5, 5),
            runbook="TradingOpsReconcilerStuck",
        ),
        lines(
            "Commit duration",
            "s",
            quantiles("trading_ops_writer_commit_duration_seconds"),
            "Duration of a transaction, which may contain many requests.",
            limits=above(0.1, 1),
            runbook="TradingOpsReconcilerStuck",
        ),
        steps(
            "Backlog",
            "short",
            {
                "notifications {{state}}": "max by (state) (trading_ops_webhook_queue_length)",
                "requests to the writer": "max(trading_ops_writer_queue_requests)",
                "unstored holds": "max(trading_ops_holds_not_stored)",
                "messages {{state}}": "max by (state) (trading_ops_messages_unsent)",
                "dropped bot events": "round(sum(increase("
                "trading_ops_bot_events_dropped_total[$__rate_interval])))",
            },
            "Stored notifications, writer requests, holds that are only in the journal, and "
            "waiting or dead messages. Also events that bots reported beyond their budget.",
            limits=above(10, 50),
            runbook="TradingOpsWebhookBacklog TradingOpsHoldsNotStored TradingOpsMessagesFailing "
            "TradingBotEventsDropped",
        ),
    ),
    (
        timeline(
            "Lease held",
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
            "By background task of the reconciler. A few seconds, except for the audit anchor (1 "
            "min).",
            limits=above(60, 90),
            runbook="TradingOpsTaskStalled",
        ),
        lines(
            "Age of the audit anchor",
            "s",
            age("trading_ops_audit_anchor_timestamp_seconds", "instance"),
            "Time since the audit chain head was last anchored outside the database, every minute.",
            limits=above(120, 600),
            runbook="TradingOpsAuditNotAnchored TradingOpsAuditHistoryChanged",
        ),
        lines(
            "Memory of the ops processes",
            "bytes",
            most(
                "trading_process_resident_bytes"
                '{process=~"reconciler|exporter|prometheus|alertmanager"}',
                "process",
            ),
            "Of the reconciler and the processes it depends on, measured by the exporter.",
            limits=above(100 * 2**20, 300 * 2**20),
        ),
    ),
)

PATH = row(
    "Alert path",
    (
        timeline(
            "Targets up",
            "min by (job, instance) (up)",
            "{{job}} {{instance}}",
            "Scrapes of each target, by job.",
            limits=below(1),
            runbook="TradingOpsReconcilerDown TradingOpsExporterDown TradingOpsAlertmanagerDown "
            "TradingOpsPrometheusDown TradingOpsSupervisorDown TradingOpsNodeDown "
            "TradingOpsUnitUnhealthy",
        ),
        events(
            "Failed or late rule evaluations",
            "short",
            {
                "failed": "round(sum(increase("
                "prometheus_rule_evaluation_failures_total[$__rate_interval])))",
                "missed": "round(sum(increase("
                "prometheus_rule_group_iterations_missed_total[$__rate_interval])))",
            },
            "An alert whose rule is not evaluated neither fires nor resolves.",
            limits=above(1, 10),
            runbook="TradingOpsRuleFailing",
        ),
        lines(
            "Notifications received",
            PER_SECOND,
            rate("trading_ops_notifications_total", "result")
            | rate("trading_ops_alerts_ignored_total", called="alerts ignored"),
            "By the reconciler, per second. Alertmanager retries refused ones. Quarantined: cannot "
            "be parsed. Ignored: alerts without the label page_after.",
            colors=OF_NOTIFICATIONS,
            runbook="TradingOpsNotificationsRefused TradingOpsNotificationQuarantined",
        ),
        events(
            "Failed notifications",
            "short",
            gain("alertmanager_notifications_failed_total", "integration"),
            "Failed notifications to on-call, by integration, of every Alertmanager.",
            limits=above(1, 3),
            runbook="TradingOpsNotificationsFailing",
        ),
    ),
    (
        timeline(
            "Configuration reloads",
            "min by (job, instance) (prometheus_config_last_reload_successful) "
            "or min by (job, instance) (trading_ops_targets_last_reload_successful)",
            "{{job}} {{instance}}",
            "Whether Prometheus could load its configuration, and the reconciler targets.yml. "
            "After a failure each keeps the previous configuration, but will fail to start with "
            "this one.",
            states=(("0", "refused", RED), ("1", "loaded", GREEN)),
            limits=below(1),
            runbook="TradingOpsPrometheusConfigBad TradingOpsTargetsReloadFailed",
        ),
        timeline(
            "Clock steps",
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
                    called="Known Alertmanagers",
                ),
                **gain(
                    "prometheus_notifications_errors_total",
                    "instance",
                    called="failed or dropped alerts",
                ),
            },
            "Known Alertmanagers (at 0 no one is notified), and alerts that Prometheus failed to "
            "send.",
            runbook="TradingOpsAlertsUndelivered",
        ),
        steps(
            "Alerts in Alertmanager",
            "short",
            most("alertmanager_alerts", "state"),
            "Active alerts, including Watchdog, and alerts suppressed by a silence or an "
            "inhibition.",
            limits=above(3, 10),
        ),
    ),
)
