"""What the reconciler did and did not: on the overview, and on its own board."""

from grafana.boards.content.series import OF_ATTEMPTS
from grafana.boards.panels import above, events, lines
from grafana.boards.words import gain, quantiles

ATTEMPTS = events(
    "Attempts",
    "short",
    gain("trading_ops_attempts_total", "action", "outcome", growing=True),
    "By action and outcome. Verified: the symptom is gone. After failed or unverified the "
    "runbook's next step is due.",
    runbook="TradingOpsAttemptsFailing",
    colors=OF_ATTEMPTS,
)

WAITS = events(
    "Why nothing was done",
    "short",
    gain('trading_ops_decisions_total{decision="wait"}', "reason", growing=True),
    "Decisions to wait, by reason. Suppressed: silenced, inhibited, with_a_person, paused, "
    "maintenance. Not yet: cooldown, cause_elsewhere, alert_pending. Many targets fail: storm, "
    "fleet_unhealthy, global_budget.",
    runbook="TradingFleetRecoveryHeld",
)

TIME_TO_RECOVER = lines(
    "Time to recover",
    "s",
    quantiles("trading_ops_recovery_duration_seconds", window="1h"),
    "From the opening of an incident to its end, over the last hour.",
    limits=above(60, 300),
    runbook="TradingAlertPersists",
)
