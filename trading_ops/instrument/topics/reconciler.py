"""The metrics of the reconciler: remediation and its own health."""

from functools import partial

from trading_ops.instrument.metric import Metric, MetricType, Owner

# From a recovery within seconds to the hour in which on-call must have acted.
RECOVERY_BUCKETS = (1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 900.0, 3600.0)

# From a commit on an idle disk to one that waits for an unreachable database.
COMMIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# An idle pass takes a millisecond; 10,000 incidents, or a hung source, seconds.
PASS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# The objective is 50 ms from the webhook to the start of an action; the poll takes 15 s.
LAG_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)

_gauge = partial(Metric, kind=MetricType.GAUGE, owner=Owner.RECONCILER)
_counter = partial(Metric, kind=MetricType.COUNTER, owner=Owner.RECONCILER)
_histogram = partial(Metric, kind=MetricType.HISTOGRAM, owner=Owner.RECONCILER, unit="seconds")

RECONCILER_METRICS: tuple[Metric, ...] = (
    _gauge(
        name="trading_ops_incidents_open",
        labels=("alertname",),
        help="Open incidents.",
        why="What automation is currently handling.",
    ),
    _gauge(
        name="trading_ops_incident_escalated",
        labels=("alertname", "target", "bot", "venue", "subject"),
        help="1 while an escalated incident is open.",
        why="Automation gave up: a rule pages immediately.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_incidents_waiting",
        labels=("gate",),
        help="Open incidents that wait for a fleet-wide gate.",
        why="Many targets fail at once: a rule pages once for all of them.",
        vital=True,
    ),
    _counter(
        name="trading_ops_decisions_total",
        labels=("decision", "reason"),
        help="Decisions by result and reason, including decisions not to act.",
        why="Shows what blocks remediation.",
    ),
    _counter(
        name="trading_ops_attempts_total",
        labels=("action", "outcome"),
        help="Attempts by action and outcome.",
        why="An action that mostly fails needs to be fixed.",
        vital=True,
    ),
    _counter(
        name="trading_ops_notifications_total",
        labels=("result",),
        help="Notifications from Alertmanager by outcome.",
        why="Alerts in refused or unreadable notifications arrive late, by the poll.",
        vital=True,
    ),
    _counter(
        name="trading_ops_alerts_ignored_total",
        labels=("reason",),
        help="Alerts in notifications that opened no incident.",
        why="`no_page_label`: a route sends alerts that are not ours. `unconfirmed`: too many "
        "open incidents never fired in Prometheus, so someone may be posting forged alerts.",
    ),
    _gauge(
        name="trading_ops_acknowledged_until_timestamp_seconds",
        unit="seconds",
        labels=("origin", "bot", "venue", "subject"),
        help="End of an acknowledgement, Unix time; 0 once it was removed.",
        why="Suppresses paging secondary on-call; in the past while the alert fires: page again.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_silenced_until_timestamp_seconds",
        unit="seconds",
        labels=("origin", "bot", "venue", "subject"),
        help="End of the manual silence of a firing alert, Unix time; else 0.",
        why="Secondary on-call is not paged for a silenced alert.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_silences_covering",
        labels=("bot",),
        help="Active manual silences that cover alerts of a bot.",
        why="Silenced alerts are not remediated.",
    ),
    _gauge(
        name="trading_ops_silences_too_wide",
        labels=("reason",),
        values={"reason": ("targets", "length")},
        help="Active manual silences that cover several targets or last too long.",
        why="One silence can switch off remediation and pages for the whole fleet.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_maintenance_active",
        labels=("target",),
        help="1 while a maintenance window is open; target `fleet`: all targets.",
        why="Annotations on the boards show who was not remediated, and when.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_maintenance_end_timestamp_seconds",
        unit="seconds",
        labels=("target",),
        help="Planned end of the open maintenance window, Unix time; target `fleet`: all targets.",
        why="Automation acts again from then on, even if the work is not finished.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_maintenance_holds_left",
        labels=("bot",),
        help="Holds that operators placed in a maintenance window and that outlasted it.",
        why="A bot that was halted for maintenance does not trade until someone resumes it.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_automation_paused",
        help="1 while automation is paused, else 0.",
        why="A forgotten pause disables all remediation.",
    ),
    _gauge(
        name="trading_ops_poll_last_success_timestamp_seconds",
        unit="seconds",
        labels=("source",),
        values={"source": ("prometheus", "alertmanager")},
        help="Time of the last successful poll of a source, Unix time; 0: never.",
        why="Without polls, a lost webhook is a lost alert.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_watchdog_last_seen_timestamp_seconds",
        unit="seconds",
        help="Time at which the Watchdog alert last arrived, Unix time; 0: never.",
        why="When it stops, no alerts arrive.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_test_alert",
        labels=("test_id",),
        help="1 for a minute after an operator requested a test alert.",
        why="Tests the whole notification path.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_notice",
        labels=("target", "bot", "venue", "message"),
        help="1 for a minute after the action `page_oncall`; at most 20 messages.",
        why="Notices use the same path as every page.",
        vital=True,
    ),
    Metric(
        name="trading_ops_recovery_duration_seconds",
        kind=MetricType.HISTOGRAM,
        owner=Owner.RECONCILER,
        unit="seconds",
        labels=("alertname",),
        buckets=RECOVERY_BUCKETS,
        help="Time from opening an incident to closing it.",
        why="The measured recovery time.",
    ),
    _gauge(
        name="trading_ops_incident_oldest_opened_timestamp_seconds",
        unit="seconds",
        help="Open time of the oldest open incident, Unix time; 0: none.",
        why="An incident that stays open for days is unattended.",
    ),
    _gauge(
        name="trading_ops_webhook_queue_length",
        labels=("state",),
        values={"state": ("pending", "quarantined")},
        help="Stored notifications that wait to be processed, and those that could not be parsed.",
        why="The backlog is alerts that are not handled yet.",
        vital=True,
    ),
    _histogram(
        name="trading_ops_decision_lag_seconds",
        buckets=LAG_BUCKETS,
        help="Time from receiving an alert to the first decision about its incident.",
        why="The first part of our share of the recovery time.",
    ),
    _histogram(
        name="trading_ops_action_start_latency_seconds",
        buckets=LAG_BUCKETS,
        help="Time from receiving an alert to the start of the first action for its incident.",
        why="Our share of the recovery time, including waits for gates.",
    ),
    _histogram(
        name="trading_ops_reconcile_duration_seconds",
        buckets=PASS_BUCKETS,
        help="Duration of one pass of the loop.",
        why="A slow pass delays the recovery of all bots.",
    ),
    _gauge(
        name="trading_ops_reconcile_last_success_timestamp_seconds",
        unit="seconds",
        help="End of the last complete pass of the loop, Unix time; 0: never.",
        why="When it stops, the process is alive but remediates nothing.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_task_last_success_timestamp_seconds",
        unit="seconds",
        labels=("task",),
        values={"task": ("agents", "anchors", "leases", "loop", "measurements", "outbox")},
        help="Last success of a background task, Unix time; its start before the first.",
        why="A stopped task disables a safety function.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_clock_stepped",
        labels=("clock",),
        values={"clock": ("reconciler", "prometheus", "alertmanager")},
        help="1 for 5 min after a clock step, and while a clock differs from the reconciler's.",
        why="Alerts that compare times fire late or not at all.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_writer_queue_requests",
        help="Requests queued for the writer thread.",
        why="Grows while the database is slow or unreachable.",
    ),
    _histogram(
        name="trading_ops_writer_commit_duration_seconds",
        buckets=COMMIT_BUCKETS,
        help="Duration of a committed transaction, which may contain many requests.",
        why="Everything waits for it: shows a slow disk first.",
    ),
    _gauge(
        name="trading_ops_lease_held",
        help="1 while this replica may start actions; 0 if its lease expires soon or expired.",
        why="A replica without a lease only observes.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_lease_until_timestamp_seconds",
        unit="seconds",
        help="Expiry of the last renewed lease, Unix time.",
        why="In the past: the database or the loop does not answer; another replica takes over.",
    ),
    _gauge(
        name="trading_ops_leases_held",
        help="Targets whose incidents this replica handles.",
        why="Shows how work is distributed, and takeovers.",
    ),
    _gauge(
        name="trading_ops_websocket_clients",
        help="Clients of the live event stream.",
        why="Shows a client that leaks connections.",
    ),
    _gauge(
        name="trading_ops_audit_head_events",
        help="Number of the newest event of the audit chain.",
        why="A decrease means that the audit log was truncated.",
    ),
    _gauge(
        name="trading_ops_audit_anchor_timestamp_seconds",
        unit="seconds",
        help="Time at which the chain head was last anchored outside the database, Unix time.",
        why="Newer events can be removed without detection.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_audit_history_changed",
        help="1 if the database contradicts an anchor, until the reconciler restarts.",
        why="The audit log was modified, or an older database was restored.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_configuration_changed_timestamp_seconds",
        unit="seconds",
        labels=("kind",),
        values={"kind": ("rules", "runbooks")},
        help="Time of the last change of our rules in Prometheus or of the runbooks, Unix time; 0 "
        "if none is known.",
        why="A change affects what is detected and what automation does.",
        vital=True,
    ),
    _counter(
        name="trading_ops_auth_refused_total",
        labels=("reason",),
        values={"reason": ("no_token", "unknown_token", "role", "forged")},
        help="Rejected requests to the API or the console: no valid token, role or form.",
        why="Guessed or revoked tokens, or requests beyond the role.",
        vital=True,
    ),
    _counter(
        name="trading_ops_admin_requests_total",
        labels=("operation",),
        help="Requests to the API or the console that need the role admin, by operation.",
        why="Who has an admin token can make a halted bot trade.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_targets_last_reload_successful",
        help="1 if the last load of targets.yml succeeded, 0 if the file is invalid.",
        why="At 0 the reconciler keeps using the targets that it loaded before.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_targets_last_reload_success_timestamp_seconds",
        help="Time of the last successful load of targets.yml, Unix time.",
        why="Which version of the file the reconciler uses.",
    ),
    _gauge(
        name="trading_ops_certificate_expiry_timestamp_seconds",
        labels=("component",),
        help="Expiry of a TLS certificate, Unix time, by the process that presents it.",
        why="Connections to that process fail after expiry.",
        vital=True,
    ),
    _counter(
        name="trading_ops_impostors_refused_total",
        help="Listeners of untrusted users, and answers of wrong processes for a bot.",
        why="Another local process uses the port of a bot, the supervisor or a Freqtrade.",
        vital=True,
    ),
    _counter(
        name="trading_ops_freqtrade_requests_total",
        labels=("bot",),
        help="Requests from the reconciler to a Freqtrade, including failed ones.",
        why="Together with the exporter's requests, our load on the Freqtrade API.",
    ),
    _counter(
        name="trading_ops_bot_events_dropped_total",
        labels=("bot",),
        help="Events of a bot beyond its budget, which were not stored.",
        why="A bot that reports without bound would fill the database.",
        vital=True,
    ),
    _counter(
        name="trading_ops_holds_reapplied_total",
        labels=("bot",),
        help="Operators' holds that were released directly at the bot and placed again.",
        why="A client with the agent's token tried to resume trading.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_agent_unresponsive",
        labels=("bot",),
        help="1 while a bot's agent does not answer the reconciler's probes, else 0.",
        why="An unreachable bot cannot be halted: it is stopped, or halted once it answers.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_agent_last_answer_timestamp_seconds",
        unit="seconds",
        labels=("bot",),
        help="Time of a bot's last answer to a probe, Unix time; 0: never since our start.",
        why="How long a bot has not answered.",
    ),
    _gauge(
        name="trading_ops_holds_active",
        labels=("bot", "state", "source"),
        values={"state": ("reducing", "halted"), "source": ("person", "machine")},
        help="Active holds on a bot, by who placed them.",
        why="A bot that was halted automatically resumes only on an operator's request.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_holds_unregistered",
        labels=("bot",),
        help="Holds on a bot that is not in targets.yml; absent if there are none.",
        why="A halted bot that was renamed would trade under its new name.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_holds_not_stored",
        help="Holds that are only in the journal and not in the database yet.",
        why="The database was unreachable when a bot was halted, and still is.",
        vital=True,
    ),
    _counter(
        name="trading_ops_messages_total",
        labels=("outcome",),
        values={"outcome": ("sent", "failed", "dead")},
        help="Deliveries of messages to a channel, by outcome.",
        why="Shows a channel that rejects messages.",
    ),
    _gauge(
        name="trading_ops_messages_unsent",
        labels=("state",),
        values={"state": ("waiting", "dead")},
        help="Waiting and dead messages in the outbox.",
        why="A dead letter stays until an operator retries or discards it.",
    ),
    _gauge(
        name="trading_ops_messages_oldest_undelivered_timestamp_seconds",
        unit="seconds",
        help="First due time of the oldest overdue or dead message, Unix time; 0: none.",
        why="Reports and approval requests are not delivered. Includes an invalid notify.yml.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_build_info",
        labels=("version",),
        help="Always 1; the version as a label.",
        why="Shows a failed deployment.",
    ),
    _gauge(
        name="trading_ops_retention_failing",
        labels=("kind",),
        help="1 if the last run of retention could not archive or remove old rows, else 0.",
        why="The database grows, and its disk fills up.",
        vital=True,
    ),
)
