"""Attempts and decisions of the reconciler: on the overview and the reconciler board."""

from grafana.boards.content.series import OF_ATTEMPTS
from grafana.boards.panels import above, events, lines
from grafana.boards.words import gain, quantiles

ATTEMPTS = events(
    "Attempts",
    "short",
    gain("trading_ops_attempts_total", "action", "outcome", growing=True),
    "By action and outcome. Verified: the symptom is gone. After failed or unverified, the "
    "runbook's next step is due.",
    runbook="TradingOpsAttemptsFailing",
    colors=OF_ATTEMPTS,
)

WAITS = events(
    "Blocked actions by reason",
    "short",
    gain('trading_ops_decisions_total{decision="wait"}', "reason", growing=True),
    "Decisions to wait, by reason. Suppressed: acknowledged, silenced, inhibited, escalated, "
    "paused, maintenance. Not yet: cooldown, cause_elsewhere, alert_pending. Many targets fail: "
    "storm, fleet_unhealthy, global_budget.",
    runbook="TradingFleetRecoverySuspended",
)

TIME_TO_RECOVER = lines(
    "Time to recover",
    "s",
    quantiles("trading_ops_recovery_duration_seconds", window="1h"),
    "From opening an incident to closing it, over the last hour.",
    limits=above(60, 300),
    runbook="TradingAlertPersists",
)
