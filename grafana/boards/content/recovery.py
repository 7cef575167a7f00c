"""The reconciler: what it did, what it refused and why, how fast, and its own health."""

from grafana.boards import links
from grafana.boards.board import Board
from grafana.boards.content.fleet import FIRED, LISTS
from grafana.boards.content.heads import ESCALATED, RECONCILER
from grafana.boards.content.jobs import JOBS
from grafana.boards.content.remediation import ATTEMPTS, TIME_TO_RECOVER, WAITS
from grafana.boards.content.watchers import PATH, WATCHERS
from grafana.boards.panels import (
    GREEN,
    NONE,
    RED,
    YELLOW,
    Axis,
    Column,
    above,
    below,
    events,
    lines,
    row,
    stat,
    steps,
    table,
    timeline,
)
from grafana.boards.words import gain, quantiles


def _within(counter: str, by: str, window: str = "$__range") -> str:
    """Return by how much a counter grew in the time that is shown, or another."""
    return f"round(sum by ({by}) (increase({counter}[{window}])))"


ENDED = _within("trading_ops_recovery_duration_seconds_count", "alertname")
TOOK = "sum by (alertname) (increase(trading_ops_recovery_duration_seconds_sum[$__range]))"
OPEN = "sum by (alertname) (trading_ops_incidents_open)"
LATELY = _within("trading_ops_decisions_total", "decision, reason", "5m")
DECIDED = _within("trading_ops_decisions_total", "decision, reason")
OUTCOMES = 'outcome=~"failed|unverified|verified|completed"'


def _mean(metric: str) -> str:
    """Return the mean of a histogram over the time that is shown."""
    return f"sum(increase({metric}_sum[$__range])) / sum(increase({metric}_count[$__range]))"


HEAD = row(
    "",
    (
        stat(
            "Open",
            "short",
            "sum(trading_ops_incidents_open)",
            "Open incidents.",
            limits=above(1, 3),
            runbook="TradingAlertPersists",
        ),
        stat(
            "Oldest",
            "s",
            "time() - min(trading_ops_incident_oldest_opened_timestamp_seconds > 0) "
            f"or {RECONCILER} * 0",
            "Age of the oldest open incident; 0: none.",
            limits=above(60, 300),
            runbook="TradingAlertPersists",
        ),
        ESCALATED,
        stat(
            "Automation",
            "short",
            "max(trading_ops_automation_paused)",
            "Whether automation is paused.",
            limits=above(1),
            states=(("0", "active", GREEN), ("1", "paused", RED)),
        ),
    ),
    (
        stat(
            "MTTA",
            "s",
            _mean("trading_ops_action_start_latency_seconds"),
            "Mean time to act: from receiving an alert to the start of the first action, over the "
            "time range. Excludes detection.",
            decimals=3,
            absent=NONE,
        ),
        stat(
            "MTTR",
            "s",
            _mean("trading_ops_recovery_duration_seconds"),
            "Mean time to recover: from opening an incident to closing it, in the time range.",
            limits=above(60, 300),
            decimals=1,
            runbook="TradingAlertPersists",
            absent=NONE,
        ),
        stat(
            "Last pass",
            "s",
            "time() - (max(trading_ops_reconcile_last_success_timestamp_seconds) > 0)",
            "Time since the last complete reconcile pass, which is due every 15 s.",
            limits=above(20, 60),
            decimals=0,
            runbook="TradingOpsReconcilerStuck",
        ),
        stat(
            "Silences",
            "short",
            'max(alertmanager_silences{state="active"})',
            "Active silences in Alertmanager. Silenced alerts are not remediated.",
            limits=above(1, 10),
        ),
    ),
    (FIRED, *LISTS),
)

DONE = row(
    "Attempts and recoveries",
    (
        ATTEMPTS,
        lines(
            "Success ratio of actions",
            "percentunit",
            {
                "{{action}}": "sum by (action) (increase(trading_ops_attempts_total"
                '{outcome=~"verified|completed"}[1h])) '
                f"/ (sum by (action) (increase(trading_ops_attempts_total{{{OUTCOMES}}}[1h])) > 0)"
            },
            "Ratio of each action's attempts in the last hour that were verified.",
            limits=below(0.5, 0.9),
            runbook="TradingOpsAttemptsFailing",
        ),
        TIME_TO_RECOVER,
        lines(
            "Time to act",
            "s",
            {
                **quantiles("trading_ops_action_start_latency_seconds", window="1h"),
                "first decision, p50": "histogram_quantile(0.5, sum by (le) "
                "(increase(trading_ops_decision_lag_seconds_bucket[1h]))) >= 0",
            },
            "From receiving an alert to the start of the first action and to the first decision.",
        ),
    ),
    (
        table(
            "Recoveries by alert",
            {
                "Ended": (f"{ENDED} > 0", Column(unit="short", decimals=0)),
                "Mean time": (
                    f"{TOOK} / ({ENDED} > 0)",
                    Column(unit="s", limits=above(60, 300), decimals=1),
                ),
                "Open now": (
                    f"{OPEN} and on (alertname) ({ENDED} > 0)",
                    Column(unit="short", limits=above(1), decimals=0),
                ),
            },
            "Incidents closed in the time range, and their duration.",
            height=8,
            runbook="TradingAlertPersists",
            value_links=(links.OF_THE_ALERT_IN_A_ROW,),
            linked="alertname",
        ),
        table(
            "Decisions by reason",
            {
                "Count": (f"{DECIDED} > 0", Column(unit="short", decimals=0)),
                "In the last 5 min": (
                    f"{LATELY} and on (decision, reason) ({DECIDED} > 0)",
                    Column(unit="short", decimals=0),
                ),
            },
            "Decisions in the time range, including those not to act: run, wait, verify, escalate, "
            "close, each with its reason.",
            height=8,
        ),
    ),
)

REFUSED = row(
    "Refusals and holds",
    (
        WAITS,
        events(
            "Escalations by reason",
            "short",
            gain('trading_ops_decisions_total{decision="escalate"}', "reason"),
            "Decisions to escalate to on-call, by reason.",
            limits=above(1),
            runbook="TradingRecoveryFailed",
        ),
        steps(
            "Active holds",
            "short",
            {
                "{{bot}} {{state}} ({{source}})": (
                    "sum by (bot, state, source) (trading_ops_holds_active)"
                )
            },
            "Holds in force. Only an operator releases a halt.",
            limits=above(1),
            runbook="TradingBotAutoHalted TradingBotHoldReapplied TradingBotHoldNotInForce",
        ),
        timeline(
            "Agents up",
            "max by (bot) (trading_ops_agent_unresponsive)",
            "{{bot}}",
            "Whether each bot answers the reconciler's probe, every second. After 3 s of silence "
            "the bot is halted.",
            states=(("0", "answers", GREEN), ("1", "silent", YELLOW)),
            limits=above(1),
            runbook="TradingBotAgentUnresponsive TradingOpsImpostor",
        ),
    ),
    (
        events(
            "Rejected API requests",
            "short",
            gain("trading_ops_auth_refused_total", "reason"),
            "No token, an invalid token, or a role that is too low, by reason.",
            limits=above(5),
            runbook="TradingOpsAuthRefused",
        ),
        events(
            "Admin requests",
            "short",
            gain("trading_ops_admin_requests_total", "operation"),
            "Requests that need the role admin, by operation. The audit log has the names.",
            limits=above(1),
            runbook="TradingOpsAdminAction",
        ),
        steps(
            "Changes of rules and runbooks",
            "short",
            {
                "{{kind}}": "max by (kind) "
                "(changes(trading_ops_configuration_changed_timestamp_seconds[15m]))"
            },
            "Times in 15 minutes that our rules in Prometheus or the runbooks were changed.",
            limits=above(1),
            runbook="TradingOpsConfigurationChanged",
        ),
    ),
    (
        steps(
            "Time until certificates expire",
            "s",
            {
                "{{component}}": "min by (component) "
                "(trading_ops_certificate_expiry_timestamp_seconds) - time()"
            },
            "TLS certificates that the reconciler has, or that other processes present to it. "
            "Empty without TLS.",
            limits=below(14 * 86400),
            runbook="TradingOpsCertificateExpiring",
        ),
        steps(
            "Manual silences",
            "short",
            {
                "covering {{bot}}": "max by (bot) (trading_ops_silences_covering)",
                "too wide: {{reason}}": "max by (reason) (trading_ops_silences_too_wide)",
            },
            "Active silences in Alertmanager that were not created by an acknowledgement. Alerts "
            "that they match are not remediated or paged.",
            limits=above(1),
            runbook="TradingOpsSilenceWide",
        ),
    ),
)

READINESS = row(
    "From paper to live",
    (
        steps(
            "Readiness stage",
            "short",
            {"{{bot}}": "max by (bot) (trading_ops_readiness_stage)"},
            "Stage of each bot's run, from 1; 0: no run. It decreases when a criterion fails.",
            runbook="TradingBotReadinessLost",
        ),
        lines(
            "Credited hours",
            "s",
            {"{{bot}}": "max by (bot) (trading_ops_readiness_credited_seconds)"},
            "Operating time with all criteria passed. It does not grow while data is missing, a "
            "criterion is unknown, or a sign-off is overdue.",
        ),
        lines(
            "Time to the next sign-off",
            "s",
            {
                "{{bot}}": "max by (bot) (trading_ops_readiness_sign_off_due_timestamp_seconds) "
                "- time()"
            },
            "Until an operator must confirm that a bot in a live stage is watched. Negative: "
            "overdue. No line: none is due.",
            limits=below(0),
            runbook="TradingBotSignOffOverdue",
            axis=Axis.SIGNED,
        ),
    ),
    (
        steps(
            "Criteria",
            "short",
            {"{{bot}} {{status}}": "sum by (bot, status) (trading_ops_readiness_criteria)"},
            "Active criteria. Unknown ones never pass.",
        ),
        steps(
            "Regressed criteria",
            "short",
            {
                "{{bot}}": "max by (bot) (trading_ops_readiness_criteria_regressed)",
                "{{bot}} is held": "max by (bot) (trading_ops_readiness_held)",
            },
            "Criteria that had passed and now fail, and whether the run waits for approval after a "
            "step back from a live stage.",
            limits=above(1),
            runbook="TradingBotReadinessLost",
        ),
    ),
)

RECOVERY = Board(
    uid=links.RECOVERY,
    title="5 Reconciler and incidents",
    question="What failed, what did the reconciler do or refuse to do and why, how fast was it, "
    "and is it healthy itself?",
    rows=(HEAD, DONE, REFUSED, READINESS, WATCHERS, JOBS, PATH),
    window="now-1h",
)
