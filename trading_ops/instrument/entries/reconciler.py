"""The metrics of the reconciler: what the recovery itself does, and whether it lives."""

from functools import partial

from trading_ops.instrument.metric import Kind, Metric, Owner

# From a heal within seconds to the hour in which a person must have stepped in.
RECOVERY_BUCKETS = (1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 900.0, 3600.0)

# From a commit on a quiet disk to one that waits for a database that is away.
COMMIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# A pass over nothing takes a millisecond; 10,000 incidents, or a source that hangs, seconds.
PASS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# The promise is 50 ms from the webhook to the start of an action; the poll takes 15 s.
LAG_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)

_gauge = partial(Metric, kind=Kind.GAUGE, owner=Owner.RECONCILER)
_counter = partial(Metric, kind=Kind.COUNTER, owner=Owner.RECONCILER)
_histogram = partial(Metric, kind=Kind.HISTOGRAM, owner=Owner.RECONCILER, unit="seconds")

BACKUP_METRICS: tuple[Metric, ...] = (
    _gauge(
        name="trading_ops_backup_interval_seconds",
        unit="seconds",
        help="Time between two backups; 0 when none is taken automatically.",
        why="How old the newest backup may become.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_backup_last_success_timestamp_seconds",
        unit="seconds",
        help="Time of the newest backup, since the epoch; 0 for never.",
        why="What was written since is lost with the disk.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_backup_recoverable_to_timestamp_seconds",
        unit="seconds",
        help="Everything up to this time is in the newest backup, since the epoch; 0 for never.",
        why="The age is the recovery point that a restore now would have.",
    ),
    _gauge(
        name="trading_ops_backup_last_verified_timestamp_seconds",
        unit="seconds",
        help="Last time that every file of a backup was compared, since the epoch; 0 for never.",
        why="A repository can go bad on its disk.",
    ),
    _gauge(
        name="trading_ops_backup_last_restore_test_timestamp_seconds",
        unit="seconds",
        help="Last time that a restore test passed, since the epoch; 0 for never.",
        why="Only a backup that was restored counts.",
    ),
    _gauge(
        name="trading_ops_backup_untested_since_timestamp_seconds",
        unit="seconds",
        help="Time of the oldest backup newer than the last tested one, since the epoch; 0: none.",
        why="Since then nothing proves that a backup can be restored.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_backup_size_bytes",
        unit="bytes",
        help="Size of the files in the newest backup.",
        why="A backup that suddenly shrinks lacks something.",
    ),
    _gauge(
        name="trading_ops_backup_restore_duration_seconds",
        unit="seconds",
        help="Duration of the last restore test that passed, 0 before the first.",
        why="The recovery time, measured.",
    ),
    _gauge(
        name="trading_ops_backup_failed",
        labels=("operation",),
        values={"operation": ("create", "verify", "restore_test", "prune")},
        help="1 when the last run of a backup command failed, else 0.",
        why="A backup that fails is noticed when it is needed.",
        vital=True,
    ),
)

RECONCILER_METRICS: tuple[Metric, ...] = (
    _gauge(
        name="trading_ops_incidents_open",
        labels=("alertname",),
        help="Incidents that are open.",
        why="What the machine is working on right now.",
    ),
    _gauge(
        name="trading_ops_incident_escalated",
        labels=("alertname", "target", "bot", "venue", "subject"),
        help="1 while an escalated incident is open.",
        why="The machine gave up: a rule pages on it at once.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_incidents_held",
        labels=("gate",),
        help="Open incidents that wait for a gate of the fleet.",
        why="Many targets fail at once: a rule pages once for all of them.",
        vital=True,
    ),
    _counter(
        name="trading_ops_decisions_total",
        labels=("decision", "reason"),
        help="Decisions by what was decided and why, those not to act included.",
        why="Shows what holds recovery back.",
    ),
    _counter(
        name="trading_ops_attempts_total",
        labels=("action", "outcome"),
        help="Attempts by action and outcome.",
        why="An action that fails more than it helps must be mended.",
        vital=True,
    ),
    _counter(
        name="trading_ops_notifications_total",
        labels=("result",),
        help="Notifications from Alertmanager by what became of them.",
        why="Refused or unreadable ones are alerts that came late, by the poll.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_acknowledged_until_timestamp_seconds",
        unit="seconds",
        labels=("origin", "bot", "venue", "subject"),
        help="Until when a person has a fault, since the epoch; 0 once that was withdrawn.",
        why="Holds the second line back; past while the alert fires, somebody must be told again.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_silenced_until_timestamp_seconds",
        unit="seconds",
        labels=("origin", "bot", "venue", "subject"),
        help="End of the silence that was set by hand on a firing alert, since the epoch; else 0.",
        why="The second line is not called for an alert that is silenced on purpose.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_silences_covering",
        labels=("bot",),
        help="Active silences, set by hand, that cover alerts of a bot.",
        why="What is silenced is not remediated.",
    ),
    _gauge(
        name="trading_ops_silences_too_wide",
        labels=("reason",),
        values={"reason": ("targets", "length")},
        help="Active silences, set by hand, that cover several targets or last too long.",
        why="One silence can switch off remediation and pages for the whole fleet.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_automation_paused",
        help="1 while a person has paused automation, else 0.",
        why="A forgotten pause leaves every fault to people.",
    ),
    _gauge(
        name="trading_ops_poll_last_success_timestamp_seconds",
        unit="seconds",
        labels=("source",),
        values={"source": ("prometheus", "alertmanager")},
        help="Time of the last successful poll of a source, since the epoch; 0 for never.",
        why="Without polls a lost webhook is a lost alert.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_watchdog_last_seen_timestamp_seconds",
        unit="seconds",
        help="Time at which the always-firing alert last arrived, since the epoch; 0 for never.",
        why="When it stops, alerts do not arrive, whatever they say.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_test_alert",
        labels=("test_id",),
        help="1 for a minute after a person asked for a test alert.",
        why="Proves the whole way to a person and back.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_notice",
        labels=("target", "bot", "venue", "message"),
        help="1 for a minute after a person or a runbook had people told something; at most 20.",
        why="A sentence takes the way of every page, and nothing else has to be kept alive for it.",
        vital=True,
    ),
    Metric(
        name="trading_ops_recovery_duration_seconds",
        kind=Kind.HISTOGRAM,
        owner=Owner.RECONCILER,
        unit="seconds",
        labels=("alertname",),
        buckets=RECOVERY_BUCKETS,
        help="Time from opening an incident to closing it.",
        why="The promise to the user, measured.",
    ),
    _gauge(
        name="trading_ops_incident_oldest_opened_timestamp_seconds",
        unit="seconds",
        help="When the oldest open incident was opened, since the epoch; 0 while none is open.",
        why="One that stays open for days is one that nobody ends.",
    ),
    _gauge(
        name="trading_ops_inbox_notifications",
        labels=("state",),
        values={"state": ("pending", "quarantined")},
        help="Stored notifications that wait to be taken apart, and those that could not be.",
        why="What waits is alerts that nobody has looked at yet.",
        vital=True,
    ),
    _histogram(
        name="trading_ops_decision_lag_seconds",
        buckets=LAG_BUCKETS,
        help="Time from receiving an alert to the first decision about its incident.",
        why="Our share of the time to recover, first half.",
    ),
    _histogram(
        name="trading_ops_start_lag_seconds",
        buckets=LAG_BUCKETS,
        help="Time from receiving an alert to the start of the first action for its incident.",
        why="Our share of the time to recover; waits that gates demand are in it.",
    ),
    _histogram(
        name="trading_ops_pass_duration_seconds",
        buckets=PASS_BUCKETS,
        help="Time that one pass of the loop took.",
        why="A pass that takes long delays every bot's recovery.",
    ),
    _gauge(
        name="trading_ops_pass_last_success_timestamp_seconds",
        unit="seconds",
        help="When a whole pass of the loop last came to its end, since the epoch; 0 for never.",
        why="When it stops, the process lives and recovers nothing.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_task_last_success_timestamp_seconds",
        unit="seconds",
        labels=("task",),
        values={"task": ("agents", "anchors", "leases", "loop", "measurements", "outbox")},
        help="Time of the last success of a background task, since the epoch; first, of its start.",
        why="A task that has stopped is a safety function that is off.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_clock_stepped",
        labels=("clock",),
        values={"clock": ("reconciler", "prometheus", "alertmanager")},
        help="1 for 5 min after a step of a clock, and while it differs from the reconciler's.",
        why="Alerts that compare times come late, or not at all.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_writer_queue_requests",
        help="Requests that wait for the thread that writes.",
        why="Grows while the database is slow or away.",
    ),
    _histogram(
        name="trading_ops_writer_commit_duration_seconds",
        buckets=COMMIT_BUCKETS,
        help="Time of one transaction that was committed, whatever the number of its requests.",
        why="Everything waits for it: a slow disk shows here first.",
    ),
    _gauge(
        name="trading_ops_lease_held",
        help="1 while this replica may start actions, 0 once its lease is nearly or wholly over.",
        why="A replica without it only watches.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_lease_until_timestamp_seconds",
        unit="seconds",
        help="When the lease ends that was renewed last, since the epoch.",
        why="Past: the database or the loop does not answer, and another replica takes over.",
    ),
    _gauge(
        name="trading_ops_claims_held",
        help="Targets whose incidents this replica looks after.",
        why="Shows how the work is shared, and a takeover when it happens.",
    ),
    _gauge(
        name="trading_ops_websocket_clients",
        help="Clients that follow the live event stream.",
        why="Shows who watches, and a client that leaks connections.",
    ),
    _gauge(
        name="trading_ops_audit_head_events",
        help="Number of the newest event of the audit chain.",
        why="A number that falls is a story that was cut.",
    ),
    _gauge(
        name="trading_ops_audit_anchor_timestamp_seconds",
        unit="seconds",
        help="When the chain's head was last written outside the database, since the epoch.",
        why="What is newer can be cut off without a trace.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_audit_history_changed",
        help="1 once the database has not what was anchored, until the reconciler's next start.",
        why="Somebody changed the record, or an older database was restored.",
        vital=True,
    ),
    _counter(
        name="trading_ops_auth_refused_total",
        labels=("reason",),
        values={"reason": ("no_token", "unknown_token", "role", "forged")},
        help="Requests to the API or the console that were refused: no valid token, role or form.",
        why="Somebody guesses tokens, uses one that was revoked, or tries what a role may not do.",
        vital=True,
    ),
    _counter(
        name="trading_ops_impostors_refused_total",
        help="Listeners of other users that got no token, answers of other processes for a bot.",
        why="A process on this machine has taken the port of a bot, the supervisor or a Freqtrade.",
        vital=True,
    ),
    _counter(
        name="trading_ops_freqtrade_requests_total",
        labels=("bot",),
        help="Requests that the reconciler made to a Freqtrade, answered or not.",
        why="With the exporter's, all that is asked of it: what it cannot answer queues in it.",
    ),
    _counter(
        name="trading_ops_holds_reapplied_total",
        labels=("bot",),
        help="Persons' holds that were released at the bot itself and placed again.",
        why="Who has the agent's token tried to let the bot trade.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_agent_silent",
        labels=("bot",),
        help="1 while a bot's agent does not answer the reconciler's direct questions, else 0.",
        why="A bot that nobody reaches cannot be halted: it is stopped, or halted once it is back.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_agent_last_answer_timestamp_seconds",
        unit="seconds",
        labels=("bot",),
        help="Time of a bot's last direct answer, since the epoch; 0 for never since our start.",
        why="Tells how long a silence lasts.",
    ),
    _gauge(
        name="trading_ops_holds_standing",
        labels=("bot", "state", "by"),
        values={"state": ("reducing", "halted"), "by": ("person", "machine")},
        help="Holds on a bot that nobody has lifted, by who laid them.",
        why="A bot that the machine has halted trades again only when a person says so.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_holds_unregistered",
        labels=("bot",),
        help="Holds on a bot that targets.yml does not have; no series without any.",
        why="A halted bot that is renamed would trade under its new name.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_holds_unsettled",
        help="Holds that the database does not know yet; the journal has them.",
        why="The database was away when somebody halted a bot, and is not back.",
        vital=True,
    ),
    _counter(
        name="trading_ops_messages_total",
        labels=("outcome",),
        values={"outcome": ("sent", "failed", "dead")},
        help="Deliveries of messages to a channel, by outcome.",
        why="A channel that refuses messages shows here first.",
    ),
    _gauge(
        name="trading_ops_messages_unsent",
        labels=("state",),
        values={"state": ("waiting", "dead")},
        help="Messages that wait in the outbox, and those that were given up.",
        why="A dead letter stays until a person retries or discards it.",
    ),
    _gauge(
        name="trading_ops_messages_oldest_undelivered_timestamp_seconds",
        unit="seconds",
        help="When the oldest overdue or dead message was first due, since the epoch; 0: none is.",
        why="Reports and approvals that do not arrive. An invalid notify.yml counts too.",
        vital=True,
    ),
    *BACKUP_METRICS,
    _gauge(
        name="trading_ops_build_info",
        labels=("version",),
        help="Always 1; the label tells which build runs.",
        why="A deployment that did not arrive.",
    ),
    _gauge(
        name="trading_ops_readiness_stage",
        labels=("bot",),
        help="Number of the stage of a bot's readiness run, from 1; 0: it has no run.",
        why="Falls when a criterion failed and the run stepped back.",
    ),
    _gauge(
        name="trading_ops_readiness_credited_seconds",
        unit="seconds",
        labels=("bot",),
        help="Time of operation that counts for the stage.",
        why="Stands still while data is missing or a criterion is not passed.",
    ),
    _gauge(
        name="trading_ops_readiness_criteria",
        labels=("bot", "status"),
        values={"status": ("passed", "failed", "unknown")},
        help="Criteria in force by what is known of them.",
        why="Unknown ones never pass: a metric is missing, or a check was not run.",
    ),
    _gauge(
        name="trading_ops_readiness_criteria_regressed",
        labels=("bot",),
        help="Criteria that were passed once and have failed now.",
        why="A bot that was ready is not any more.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_readiness_held",
        labels=("bot",),
        help="1 while a run that stepped back from a live stage waits for a person, else 0.",
        why="The bot is reduce-only until a person approves.",
    ),
    _gauge(
        name="trading_ops_readiness_sign_off_due_timestamp_seconds",
        unit="seconds",
        labels=("bot",),
        help="Time until which a person must sign off, since the epoch; absent when none is due.",
        why="Time after it does not count.",
    ),
)
