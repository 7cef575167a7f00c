"""What the reconciler did and did not: on the overview, and on its own board."""

from grafana.boards.panels import above, events, lines
from grafana.boards.words import gain, quantiles

ATTEMPTS = events(
    "Attempts",
    "short",
    gain("trading_ops_attempts_total", "action", "outcome", top=10),
    "By action and outcome, the ten most frequent. Verified: the symptom was seen to be gone. "
    "After failed or unverified the runbook's next step is due.",
    runbook="TradingOpsAttemptsFailing",
)

WAITS = events(
    "Why nothing was done",
    "short",
    gain('trading_ops_decisions_total{decision="wait"}', "reason", top=10),
    "Decisions to wait, the ten most frequent reasons. Hands off: silenced, inhibited, "
    "with_a_person, paused, maintenance. Not yet: cooldown, cause_elsewhere, alert_pending.",
)

TIME_TO_RECOVER = lines(
    "Time to recover",
    "s",
    quantiles("trading_ops_recovery_duration_seconds", window="1h"),
    "From the opening of an incident to its end, over the last hour.",
    limits=above(60, 300),
    runbook="TradingRecoveryOverdue",
)
