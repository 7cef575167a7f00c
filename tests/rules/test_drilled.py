"""Every alert is raised by a drill or by a history, or there is a reason why it is not.

Each reason has a test of what the alert stands on; `make rules` tests the rule itself always.
"""

from pathlib import Path
from typing import NamedTuple

from tests.rules import test_anomalies_live, test_long_windows_live
from tests.rules.configuration import ROOT, RUNBOOKS, load_rules
from tests.rules.test_runbooks import NOT_DRILLED
from trading_ops.readiness.plan import load_plan
from trading_ops.reconciler.runbook_index import load_runbooks

LIVED_THROUGH = {case.alert for case in test_long_windows_live.CASES.values()} | {
    test_anomalies_live.RULE.name
}


class Not(NamedTuple):
    """Why it is not raised, and the file in tests/ that tries what it stands on."""

    why: str
    tried: str


LOST = "what is lost today stays lost"
LONG = "lasts six minutes and longer"
NO_MODEL = "the demo has no model"
NO_SERVER = "the demo has no such server"
NOT_ON_PURPOSE = "a drill does not damage a disk, memory or records"
ATTACK = "no drill attacks the stack"
ALONE = "the demo has one of it"

NOT_RAISED = {
    "TradingAlertPersists": Not(LONG, "rules/test_delay_live.py"),
    "TradingBotDailyLossBreached": Not(LOST, "service/bot/test_risk_at_the_venue.py"),
    "TradingBotDailyLossHigh": Not(LOST, "service/botkit/test_risk_guard.py"),
    "TradingBotDrawdownBreached": Not(LOST, "service/botkit/test_risk_guard.py"),
    "TradingBotLossRunaway": Not(LOST, "service/botkit/test_risk_guard.py"),
    "TradingBotPositionUnattended": Not(
        "automation restarts the bot sooner", "e2e/test_emergency.py"
    ),
    "TradingCapacityWarning": Not(LONG, "rules/test_capacity_rules.py"),
    "TradingBotExposureBreached": Not(LOST, "service/botkit/test_risk_guard.py"),
    "TradingBotHoldNotInForce": Not("our agent obeys", "service/holds/test_holds.py"),
    "TradingBotReadinessLost": Not(
        "a run takes days to pass a criterion of it", "service/reconciler/test_readiness.py"
    ),
    "TradingBotSignOffOverdue": Not(
        "a sign-off is due after hours", "service/reconciler/test_readiness.py"
    ),
    "TradingBotHoldReapplied": Not(ATTACK, "service/holds/test_holds.py"),
    "TradingFleetRecoverySuspended": Not(ALONE, "service/reconciler/test_fleet.py"),
    "TradingBotFallbackActive": Not(NO_MODEL, "service/bot/test_model.py"),
    "TradingBotMetricsRejected": Not("no bot of ours exports that", "rules/test_claims_live.py"),
    "TradingBotValueImpossible": Not(
        "no bot of ours exports one", "unit/instrument/test_refused_values.py"
    ),
    "TradingBotSignalsFailing": Not(NO_MODEL, "service/bot/test_model.py"),
    "TradingBotNoLeader": Not(ALONE, "service/bot/test_failover.py"),
    "TradingBotSplitBrain": Not(ALONE, "service/botkit/test_leadership.py"),
    "TradingDatabaseCorrupt": Not(NOT_ON_PURPOSE, "service/exporter/test_sqlite.py"),
    "TradingDatabaseDown": Not(NOT_ON_PURPOSE, "service/exporter/test_sqlite.py"),
    "TradingHostDiskLow": Not(NOT_ON_PURPOSE, "service/exporter/test_host.py"),
    "TradingHostDiskReadOnly": Not(NOT_ON_PURPOSE, "service/exporter/test_host.py"),
    "TradingHostMemoryLow": Not(NOT_ON_PURPOSE, "service/exporter/test_host.py"),
    "TradingOpsAlertsUndelivered": Not(LONG, "rules/test_dead_man_switch_live.py"),
    "TradingOpsAuthRefused": Not(ATTACK, "service/api/test_access.py"),
    "TradingOpsConfigurationChanged": Not(ATTACK, "rules/test_config_watch_live.py"),
    "TradingOpsAdminAction": Not("a person raises it", "service/api/test_access.py"),
    "TradingOpsSilenceWide": Not(ATTACK, "service/reconciler/test_silences.py"),
    "TradingOpsAuditHistoryChanged": Not(ATTACK, "service/reconciler/test_anchor.py"),
    "TradingOpsAuditNotAnchored": Not(LONG, "service/reconciler/test_anchor.py"),
    "TradingOpsBackupFailed": Not(LONG, "backup/test_reconciler.py"),
    "TradingOpsBackupNotVerified": Not(LONG, "backup/test_reconciler.py"),
    "TradingOpsBackupTargetFull": Not(LONG, "backup/test_reconciler.py"),
    "TradingOpsHoldsNotStored": Not(LONG, "service/holds/test_holds.py"),
    "TradingOpsTargetsReloadFailed": Not(LONG, "service/stack/test_reconciler_alone.py"),
    "TradingOpsCertificateExpiring": Not(LONG, "service/tls/test_expiry.py"),
    "TradingOpsImpostor": Not(ATTACK, "service/clients/test_listener.py"),
    "TradingOpsWebhookBacklog": Not(LONG, "service/reconciler/test_self_metrics.py"),
    "TradingOpsMaintenanceEnding": Not(LONG, "service/reconciler/test_self_metrics.py"),
    "TradingOpsMaintenanceHoldLeft": Not(LONG, "service/reconciler/test_self_metrics.py"),
    "TradingOpsRetentionFailed": Not(LONG, "store/test_archive.py"),
    "TradingOpsLeaseLost": Not(ALONE, "service/reconciler/test_replicas.py"),
    "TradingBotEventsDropped": Not(NOT_ON_PURPOSE, "service/reconciler/test_bot_events.py"),
    "TradingOpsNodeDown": Not("the local stack has no node", "service/services/test_node.py"),
    "TradingOpsUnitUnhealthy": Not(
        "the local stack has no container", "service/services/test_lookout.py"
    ),
    "TradingOpsNotice": Not("a person raises it", "actions/test_page_oncall.py"),
    "TradingOpsNotificationQuarantined": Not(LONG, "service/reconciler/test_border.py"),
    "TradingOpsNotificationsRefused": Not(LONG, "service/reconciler/test_failures.py"),
    "TradingOpsPrometheusDown": Not(ALONE, "service/stack/test_alarm.py"),
    "TradingOpsSupervisorDown": Not("it runs the drills", "service/stack/test_alarm.py"),
    "TradingOpsClockStepped": Not(
        "a drill must not set clocks", "service/reconciler/test_clocks.py"
    ),
    "TradingOpsTaskStalled": Not(LONG, "service/reconciler/test_tasks.py"),
    "TradingOpsValueImpossible": Not(
        "no process of ours exports one", "service/reconciler/test_clocks.py"
    ),
    "TradingOpsTest": Not("`trading-ops doctor` raises it", "e2e/test_stack.py"),
    "TradingPostgresqlArchiveFailing": Not(NO_SERVER, "service/exporter/test_postgresql.py"),
    "TradingPostgresqlConnectionsHigh": Not(NO_SERVER, "service/exporter/test_postgresql.py"),
    "TradingPostgresqlTransactionStuck": Not(NO_SERVER, "service/exporter/test_postgresql.py"),
    "Watchdog": Not("it always fires", "rules/test_dead_man_switch_live.py"),
}


def test_every_alert_is_raised_or_has_a_reason() -> None:
    """One reason too many is an alert that is raised by now."""
    drilled = {book.alert for book in load_runbooks(RUNBOOKS).values() if book.drill}
    raised = drilled | LIVED_THROUGH | NOT_DRILLED.keys()
    assert {rule.name for rule in load_rules()} - raised == NOT_RAISED.keys()


def test_every_alert_of_the_readiness_plan_has_a_drill_of_a_bot() -> None:
    plan, books = load_plan(Path("none")), load_runbooks(RUNBOOKS)
    alerts = [alert for c in plan.criteria(1).values() for alert in c.drilled]
    assert [(books[a].alert, books[a].target_label, bool(books[a].drill)) for a in alerts] == [
        (alert, "bot", True) for alert in alerts
    ]
    assert alerts


def test_every_test_that_a_reason_names_is_there() -> None:
    """No reason outlives its test."""
    assert [
        exception
        for exception in NOT_RAISED.values()
        if not (ROOT / "tests" / exception.tried).is_file()
    ] == []
