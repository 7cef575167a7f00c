"""The metrics of the reconciler: what the recovery itself does, and whether it lives."""

from functools import partial

from trading_ops.instrument.metric import Kind, Metric, Owner

# From a heal within seconds to the hour in which a person must have stepped in.
RECOVERY_BUCKETS = (1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 900.0, 3600.0)

_gauge = partial(Metric, kind=Kind.GAUGE, owner=Owner.RECONCILER)
_counter = partial(Metric, kind=Kind.COUNTER, owner=Owner.RECONCILER)

RECONCILER_METRICS: tuple[Metric, ...] = (
    _gauge(
        name="trading_ops_incidents_open",
        labels=("alertname",),
        help="Incidents that are open.",
        why="What the machine is working on right now.",
    ),
    _gauge(
        name="trading_ops_incident_escalated",
        labels=("alertname", "target", "bot", "venue"),
        help="1 while an escalated incident is open.",
        why="The machine gave up: a rule pages on it at once.",
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
    ),
    _counter(
        name="trading_ops_notifications_total",
        labels=("result",),
        help="Notifications from Alertmanager by what became of them.",
        why="Refused or unreadable ones are alerts that came late, by the poll.",
    ),
    _gauge(
        name="trading_ops_acknowledged_until_timestamp_seconds",
        unit="seconds",
        labels=("origin", "bot", "venue"),
        help="Until when a person has a fault, since the epoch; 0 once that was withdrawn.",
        why="Holds the second line back; past while the alert fires, somebody must be told again.",
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
    ),
    _gauge(
        name="trading_ops_watchdog_last_seen_timestamp_seconds",
        unit="seconds",
        help="Time at which the always-firing alert last arrived, since the epoch; 0 for never.",
        why="When it stops, alerts do not arrive, whatever they say.",
    ),
    _gauge(
        name="trading_ops_test_alert",
        labels=("test_id",),
        help="1 for a minute after a person asked for a test alert.",
        why="Proves the whole way to a person and back.",
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
        name="trading_ops_build_info",
        labels=("version",),
        help="Always 1; the label tells which build runs.",
        why="A deployment that did not arrive.",
    ),
)
