"""What the reconciler shows of itself, through the real thing and its own /metrics."""

import math
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from tests.service.reconciler.conftest import Start
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.backup.metrics import BackupMetrics
from trading_ops.domain.hold import RECONCILER, HeldState, Hold
from trading_ops.domain.maintenance import Maintenance
from trading_ops.instrument.catalogue import CATALOGUE
from trading_ops.instrument.metric import Owner
from trading_ops.reconciler import metrics
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.store import holds, maintenance

LABELLED = {
    "trading_ops_admin_requests_total",
    "trading_ops_certificate_expiry_timestamp_seconds",
    "trading_ops_freqtrade_requests_total",
    "trading_ops_holds_reapplied_total",
    "trading_ops_bot_events_dropped_total",
    "trading_ops_incidents_open",
    "trading_ops_holds_unregistered",
    "trading_ops_job_expected_timestamp_seconds",
    "trading_ops_job_failing",
    "trading_ops_job_last_success_timestamp_seconds",
    "trading_ops_job_duration_seconds",
    "trading_ops_incident_escalated",
    "trading_ops_incidents_waiting",
    "trading_ops_acknowledged_until_timestamp_seconds",
    "trading_ops_silenced_until_timestamp_seconds",
    "trading_ops_silences_covering",
    "trading_ops_maintenance_active",
    "trading_ops_maintenance_end_timestamp_seconds",
    "trading_ops_maintenance_holds_left",
    "trading_ops_test_alert",
    "trading_ops_notice",
    "trading_ops_recovery_duration_seconds",
    "trading_ops_task_last_success_timestamp_seconds",
    "trading_ops_agent_unresponsive",
    "trading_ops_agent_last_answer_timestamp_seconds",
    "trading_ops_holds_active",
    "trading_ops_readiness_stage",
    "trading_ops_readiness_credited_seconds",
    "trading_ops_readiness_criteria",
    "trading_ops_readiness_criteria_regressed",
    "trading_ops_readiness_held",
    "trading_ops_readiness_sign_off_due_timestamp_seconds",
}
"""Their labels are alerts, targets and notices: a process gets them later."""

RECONCILER_METRICS = [metric for metric in CATALOGUE if metric.owner is Owner.RECONCILER]


def test_every_metric_is_there_from_the_start() -> None:
    """An absent series is no zero: a rate over the first failure would miss it."""
    registry = ReconcilerMetrics().registry
    BackupMetrics(registry)
    families = {family.name: family for family in registry.collect()}
    for metric in RECONCILER_METRICS:
        assert metric.family in families, metric.name
        if metric.name not in LABELLED:
            assert families[metric.family].samples, metric.name


async def test_a_recovery_leaves_its_traces(start: Start) -> None:
    """Lags, passes, commits, the lease and the timeline's head are all measured."""
    async with start() as running:
        remediated = 'trading_ops_recovery_duration_seconds_count{alertname="BotSick"}'
        assert math.isnan(await running.metric(remediated))
        assert await running.metric('trading_ops_incidents_open{alertname="BotSick"}') == 0
        running.world.firing = True
        assert await running.notify(running.world.alert()) == 200
        await eventually(running.closed, what="the incident to be closed")
        for name in (
            "trading_ops_decision_lag_seconds_count",
            "trading_ops_action_start_latency_seconds_count",
            "trading_ops_reconcile_duration_seconds_count",
            "trading_ops_writer_commit_duration_seconds_count",
            "trading_ops_reconcile_last_success_timestamp_seconds",
            "trading_ops_audit_anchor_timestamp_seconds",
            "trading_ops_lease_until_timestamp_seconds",
        ):
            assert await running.metric(name) > 0, name
        assert await running.metric("trading_ops_lease_held") == 1
        assert await running.metric(remediated) == 1

        async def head() -> bool:
            return await running.metric("trading_ops_audit_head_events") > 0

        await eventually(head, what="the next measurement")
        assert await running.metric("trading_ops_decision_lag_seconds_count") == 1
        assert await running.metric("trading_ops_action_start_latency_seconds_count") == 1

        async def none_is_open() -> bool:
            name = "trading_ops_incident_oldest_opened_timestamp_seconds"
            return await running.metric(name) == 0

        await eventually(none_is_open, what="the measurement after it was closed")

        async def all_are_processed() -> bool:
            return await running.metric('trading_ops_webhook_queue_length{state="pending"}') == 0

        await eventually(all_are_processed, what="an empty queue")
        assert not math.isnan(await running.metric("trading_ops_writer_queue_requests"))


@pytest.mark.parametrize(("target", "shown"), [("alpha", "alpha"), (None, "fleet")])
async def test_a_maintenance_window_is_shown_while_it_is_open(
    start: Start, monkeypatch: pytest.MonkeyPatch, target: str | None, shown: str
) -> None:
    """The boards mark it: from its beginning until it is ended, not while it is only planned."""
    monkeypatch.setattr(metrics, "EVERY_SECONDS", 0.02)
    now = clock.now()
    window, planned = (
        Maintenance(
            target=target,
            owner="ada",
            reason="new disk",
            begins_at=now + timedelta(hours=hours),
            ends_at=now + timedelta(hours=hours + 1),
        )
        for hours in (0, 2)
    )
    async with start() as running:
        writer = running.loop.incident_reconciler.writer

        async def is_shown() -> bool:
            return await running.metric(f'trading_ops_maintenance_active{{target="{shown}"}}') == 1

        async def has_its_end() -> bool:
            name = f'trading_ops_maintenance_end_timestamp_seconds{{target="{shown}"}}'
            return await running.metric(name) == window.ends_at.timestamp()

        async def is_gone() -> bool:
            return not await is_shown()

        await writer.run(partial(maintenance.begin, window=planned, now=now))
        stored = await writer.run(partial(maintenance.begin, window=window, now=now))
        await eventually(is_shown, what="the window to be shown")
        await eventually(has_its_end, what="its end to be shown")
        await writer.run(partial(maintenance.end, key=stored.id, owner="ada", now=clock.now()))
        await eventually(is_gone, what="the window to be gone")


async def test_a_hold_of_a_window_is_shown_when_the_window_has_ended(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds of operators count, also while a later window is open; holds from before it do not."""
    monkeypatch.setattr(metrics, "EVERY_SECONDS", 0.02)
    now = clock.now()
    window = Maintenance(
        target=None, owner="ada", reason="disk", begins_at=now, ends_at=now + timedelta(hours=1)
    )
    async with start() as running:
        writer = running.loop.incident_reconciler.writer

        async def is_left() -> bool:
            return await running.metric('trading_ops_maintenance_holds_left{bot="alpha"}') == 1

        async def is_not_left() -> bool:
            return not await is_left()

        for key, owner, at in (
            ("old", "ada", now - timedelta(minutes=1)),
            ("ours", RECONCILER, now),
            ("hers", "ada", now),
        ):
            held = Hold(
                id=key, target="alpha", state=HeldState.HALTED, owner=owner, reason="disk", at=at
            )
            await writer.run(partial(holds.place, hold=held, now=now))
        stored = await writer.run(partial(maintenance.begin, window=window, now=now))
        assert await is_not_left()
        await writer.run(partial(maintenance.end, key=stored.id, owner="ada", now=clock.now()))
        await eventually(is_left, what="the hold to be shown")
        again = replace(window, begins_at=clock.now())
        await writer.run(partial(maintenance.begin, window=again, now=clock.now()))

        async def is_open() -> bool:
            active = 'trading_ops_maintenance_active{target="fleet"}'
            return await running.metric(active) == 1

        await eventually(is_open, what="the next window to be measured")
        assert await is_left()
