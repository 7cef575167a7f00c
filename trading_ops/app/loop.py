"""Builds the loop that handles incidents."""

from datetime import timedelta

from trading_ops.actions import registry as actions
from trading_ops.app.dependencies import Dependencies
from trading_ops.clients.alertmanager import Alertmanager, Alertmanagers
from trading_ops.clients.prometheus import Prometheus
from trading_ops.config.settings import Settings
from trading_ops.domain.decision import GlobalLimits
from trading_ops.reconciler.acknowledgements import AcknowledgementSync
from trading_ops.reconciler.clocks import ALERTMANAGER, PROMETHEUS, ClockReports, Clocks
from trading_ops.reconciler.crash_recovery import AttemptRecovery
from trading_ops.reconciler.execute import AttemptRunner
from trading_ops.reconciler.intake import Intake
from trading_ops.reconciler.loop import Loop
from trading_ops.reconciler.manual_actions import ErrorBudget, ManualActions
from trading_ops.reconciler.metrics import Notices
from trading_ops.reconciler.observe import Observer
from trading_ops.reconciler.reconcile import DecisionLog, IncidentReconciler
from trading_ops.reconciler.retention import Retention
from trading_ops.reconciler.secondary_oncall import SilenceMonitor
from trading_ops.reconciler.state import WorldBuilder
from trading_ops.reconciler.verify import Verifier
from trading_ops.reconciler.workqueue import Workers
from trading_ops.store.archive import Archive


def limits_of(settings: Settings) -> GlobalLimits:
    """Return the limits that apply to all runbooks together."""
    return GlobalLimits(
        storm_targets=settings.storm_targets,
        storm_share=settings.storm_share,
        storm_quiet=timedelta(seconds=settings.storm_quiet_seconds),
        minimum_healthy_share=settings.healthy_share,
        unhealthy_targets=settings.unhealthy_targets,
        attempts=settings.attempts_total,
        attempts_share=settings.attempts_share,
        window=timedelta(seconds=settings.attempts_window_seconds),
    )


def build_loop(deps: Dependencies) -> Loop:
    """Build the loop and its parts, in the order in which an alert meets them."""
    wakeup = deps.wakeup
    clocks = Clocks()
    prometheus = deps.prometheus(on_date=clocks.other(PROMETHEUS))
    receivers = [receiver.strip() for receiver in deps.settings.alertmanager_receivers.split(",")]
    alertmanagers = Alertmanagers(
        [
            Alertmanager(http, receivers=receivers)
            for http in deps.monitoring.alertmanagers(on_date=clocks.other(ALERTMANAGER))
        ]
    )
    workers = Workers(wakeup.set, deps.crash_marks)
    incident_reconciler = _incident_reconciler(deps, prometheus, workers)
    return Loop(
        reader=deps.reader,
        index=deps.index,
        leases=deps.leases,
        intake=Intake(
            writer=deps.writer,
            reader=deps.reader,
            index=deps.index,
            metrics=deps.metrics,
            wake=wakeup.set,
            max_unconfirmed=deps.settings.unconfirmed_incidents,
        ),
        observer=Observer(
            prometheus=prometheus,
            alertmanagers=alertmanagers,
            writer=deps.writer,
            index=deps.index,
            metrics=deps.metrics,
            clocks=clocks,
        ),
        incident_reconciler=incident_reconciler,
        manual_actions=_manual(deps, incident_reconciler, prometheus),
        acknowledgements=AcknowledgementSync(
            writer=deps.writer,
            reader=deps.reader,
            alertmanagers=alertmanagers,
            index=deps.index,
            metrics=deps.metrics,
        ),
        clock_reports=ClockReports(
            clocks=clocks,
            writer=deps.writer,
            metrics=deps.metrics,
            alertmanagers=alertmanagers,
        ),
        silences=SilenceMonitor(
            reader=deps.reader,
            alertmanagers=alertmanagers,
            index=deps.index,
            metrics=deps.metrics,
            longest=timedelta(seconds=deps.settings.silence_max_seconds),
        ),
        workers=workers,
        retention=_retention(deps),
        tasks=deps.tasks,
        metrics=deps.metrics,
        limits=limits_of(deps.settings),
        poll_seconds=deps.settings.poll_interval_seconds,
        wakeup=wakeup,
    )


def _retention(deps: Dependencies) -> Retention:
    return Retention(
        writer=deps.writer,
        reader=deps.api_reader,
        archive=Archive(folder=deps.settings.archive, keys=deps.audit_keys),
        on_result=deps.metrics.jobs.note_retention,
        notifications_kept=timedelta(days=deps.settings.notifications_kept_days),
        incidents_kept=timedelta(days=deps.settings.incidents_kept_days),
        messages_kept=timedelta(days=deps.settings.messages_kept_days),
        bot_events_kept=timedelta(days=deps.settings.bot_events_kept_days),
        bot_events_kept_rows=deps.settings.bot_events_kept_rows,
        events_kept=timedelta(days=deps.settings.events_kept_days),
    )


def _manual(
    deps: Dependencies, incident_reconciler: IncidentReconciler, prometheus: Prometheus
) -> ManualActions:
    return ManualActions(
        writer=deps.writer,
        reader=deps.reader,
        registry=deps.index.registry,
        leases=deps.leases,
        workers=incident_reconciler.workers,
        runner=incident_reconciler.runner,
        recovery=incident_reconciler.recovery,
        world_builder=incident_reconciler.world_builder,
        limits=incident_reconciler.limits,
        budget=ErrorBudget(prometheus=prometheus) if deps.settings.freeze_on_spent_budget else None,
        two_person_approval=deps.settings.two_person_approval,
    )


def _incident_reconciler(
    deps: Dependencies, prometheus: Prometheus, workers: Workers
) -> IncidentReconciler:
    directory = deps.directory()
    runner = AttemptRunner(
        clients=directory,
        actions=actions.build(directory, Notices(deps.metrics)),
        writer=deps.writer,
        metrics=deps.metrics,
        may_start=deps.leases.may_start,
    )
    return IncidentReconciler(
        writer=deps.writer,
        index=deps.index,
        leases=deps.leases,
        decision_log=DecisionLog(
            writer=deps.writer, leases=deps.leases, index=deps.index, metrics=deps.metrics
        ),
        workers=workers,
        runner=runner,
        verifier=Verifier(
            prometheus=prometheus, writer=deps.writer, metrics=deps.metrics, undo=runner.undo
        ),
        recovery=AttemptRecovery(writer=deps.writer, leases=deps.leases, runner=runner),
        limits=limits_of(deps.settings),
        world_builder=WorldBuilder(
            index=deps.index,
            limits=limits_of(deps.settings),
            observe_only=deps.settings.observe_only,
        ),
    )
