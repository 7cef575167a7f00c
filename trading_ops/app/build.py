"""Builds the reconciler's parts from the settings and connects them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta

import aiohttp
from aiohttp import web

from trading_ops import logs
from trading_ops.actions import registry as actions
from trading_ops.api.readiness import ReadinessRoutes
from trading_ops.app.base import Base, own_entry
from trading_ops.app.http import application_of
from trading_ops.audit.checkpoint import Anchors, note_key
from trading_ops.audit.config_watch import ConfigWatch
from trading_ops.backup.scheduled import Backups
from trading_ops.clients.agent import EventsHead
from trading_ops.clients.alertmanager import Alertmanager, Alertmanagers
from trading_ops.clients.directory import Directory
from trading_ops.clients.http import session_of
from trading_ops.clients.prometheus import Prometheus
from trading_ops.clients.secrets import SecretFiles, agent_token_file
from trading_ops.config.files import refuse_exposed
from trading_ops.config.settings import Settings
from trading_ops.config.targets import split_address
from trading_ops.domain.decision import GlobalLimits
from trading_ops.domain.target import Kind, Registry
from trading_ops.holds.agent_monitor import AgentMonitor
from trading_ops.holds.agent_probe import ProbeTimeouts
from trading_ops.holds.holds import HoldManager
from trading_ops.holds.suppression import Suppression
from trading_ops.holds.suspension import PartSuspension
from trading_ops.jobs.config import load_jobs
from trading_ops.jobs.scheduler import Scheduler
from trading_ops.jobs.windows import load_windows
from trading_ops.logs.throttled import Seldom
from trading_ops.messages.bot_events import BotEvents
from trading_ops.messages.outbox import Outbox
from trading_ops.notify.channels import FILE as NOTIFY_URLS
from trading_ops.readiness.evaluate import Evaluator
from trading_ops.readiness.plan import load_plan
from trading_ops.reconciler.acknowledgements import AcknowledgementSync
from trading_ops.reconciler.clocks import (
    ALERTMANAGER,
    PROMETHEUS,
    ClockReports,
    Clocks,
    OnDate,
)
from trading_ops.reconciler.crash_recovery import AttemptRecovery, CrashMarks
from trading_ops.reconciler.decision_log import DecisionLog
from trading_ops.reconciler.execute import AttemptRunner
from trading_ops.reconciler.intake import Intake
from trading_ops.reconciler.lease import Leases, replica_name
from trading_ops.reconciler.loop import Loop
from trading_ops.reconciler.manual_actions import ErrorBudget, ManualActions
from trading_ops.reconciler.metrics import DatabaseMetrics, Notices, ReconcilerMetrics
from trading_ops.reconciler.observe import Observer
from trading_ops.reconciler.reconcile import IncidentReconciler
from trading_ops.reconciler.retention import Retention
from trading_ops.reconciler.runbook_index import RunbookIndex, load_runbooks
from trading_ops.reconciler.secondary_oncall import SilenceMonitor
from trading_ops.reconciler.state import WorldBuilder
from trading_ops.reconciler.verify import Verifier
from trading_ops.reconciler.workqueue import Workers
from trading_ops.store import migrate
from trading_ops.store.archive import Archive
from trading_ops.store.engine import reading_engine, sole_writer, sqlite_path, writing_engine
from trading_ops.store.journal import Journal
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer
from trading_ops.tasks import Tasks
from trading_ops.tls.expiry import Certificates

log = logs.get(__name__)


@dataclass(frozen=True, kw_only=True)
class Reconciler:
    """A built reconciler: its HTTP application and its loop."""

    application: web.Application
    loop: Loop
    holding: HoldManager
    watch: AgentMonitor
    tasks: Tasks
    metrics: ReconcilerMetrics
    asking: Reader
    """Reader of the HTTP API; the loop has its own."""


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


def _refuse_exposed_tokens(settings: Settings, registry: Registry) -> None:
    """Check the modes of the tokens for bots, the supervisor and the nodes, once at startup.

    Not with each request: a halt must go out even if a file's mode has changed since.

    Raises:
        ConfigError: every local user can open one of them.
    """
    agents = [agent_token_file(settings, bot).path for bot in registry.of_kind(Kind.BOT)]
    managers = [settings.secrets / name for name in ("supervisor_token", "node_token")]
    for path in (*managers, *agents):
        if path.exists():
            refuse_exposed(path)


@contextlib.asynccontextmanager
async def build(settings: Settings, registry: Registry) -> AsyncIterator[Reconciler]:
    """Build a reconciler; leaving the context closes the database after the last write.

    Raises:
        ConfigError: a runbook or a secret is invalid or missing.
        StoreError: another process has the database open for writing.
    """
    index = RunbookIndex(load_runbooks(settings.runbooks), registry)
    _refuse_exposed_tokens(settings, registry)
    migrate.upgrade(settings.database_url)
    with (
        sole_writer(settings.database_url),
        CrashMarks(settings.handling) as handling,
        _writers(settings) as (writer, leasing),
    ):
        reader = Reader(reading_engine(settings.database_url))
        asking = Reader(reading_engine(settings.database_url))
        alone = sqlite_path(settings.database_url) is not None
        try:
            metrics = ReconcilerMetrics()
            name = own_entry(settings, registry).name
            addresses = {f"{host}:{port}": name for name, host, port in _listeners(registry)}
            certificates = Certificates(settings.tls, addresses)
            async with _session(settings, name, metrics, certificates) as session:
                base = Base(
                    settings=settings,
                    index=index,
                    metrics=metrics,
                    tasks=Tasks(on_success=metrics.task_succeeded),
                    writer=writer,
                    reader=reader,
                    asking=asking,
                    lease=Leases(leasing, replica_name(), alone=alone),
                    session=session,
                    handling=handling,
                    certificates=certificates,
                    name=name,
                    wakeup=asyncio.Event(),
                )
                loop = _loop(base)
                scheduler = _scheduler(base)
                async with (
                    _audited(base),
                    _measured(base),
                    _messaging(base) as outbox,
                    _backed_up(base) as backups,
                    base.tasks.running("jobs", scheduler.run),
                    base.tasks.running("configuration", _config_watch(base).run),
                    _watching(base) as (holding, watch),
                    base.tasks.running("suspension", _suspension(base, holding).run),
                    _qualifying(base, holding) as readiness,
                    _reading_events(base, watch, outbox),
                ):
                    yield Reconciler(
                        application=application_of(
                            base,
                            loop,
                            holding,
                            watch,
                            outbox=outbox,
                            backups=backups,
                            readiness=readiness,
                            scheduler=scheduler,
                        ),
                        loop=loop,
                        holding=holding,
                        watch=watch,
                        tasks=base.tasks,
                        metrics=metrics,
                        asking=asking,
                    )
        finally:
            asking.close()
            reader.close()


def _listeners(registry: Registry) -> Iterator[tuple[str, str, int]]:
    for target in registry:
        yield (target.name, *split_address(target.address))


def _session(
    settings: Settings, name: str, metrics: ReconcilerMetrics, certificates: Certificates
) -> aiohttp.ClientSession:
    """Return an HTTP session that sends tokens only to listeners of trusted users."""
    throttle = Seldom()

    def refused(why: str) -> None:
        metrics.security.impostors.inc()
        if throttle.is_due(why):
            log.error("impostor_refused", why=why)

    return session_of(settings, name=name, on_impostor=refused, on_certificate=certificates.shown)


@contextlib.asynccontextmanager
async def _audited(base: Base) -> AsyncIterator[None]:
    """Anchor the audit log outside the database."""
    keys = _audit_keys(base.settings)
    await note_key(base.writer, keys)
    anchors = Anchors(
        path=base.settings.anchors,
        key=keys[0],
        reader=base.reader,
        on_anchor=base.metrics.audit.anchored.set,
        on_changed=lambda: base.metrics.audit.history_changed.set(1),
    )
    async with anchors.running(base.tasks):
        yield


def _config_watch(base: Base) -> ConfigWatch:
    return ConfigWatch(
        prometheus=_prometheus(base, base.session),
        runbooks=base.settings.runbooks,
        writer=base.writer,
        reader=base.reader,
        changed_at=base.metrics.audit.configuration_changed,
    )


@contextlib.asynccontextmanager
async def _watching(base: Base) -> AsyncIterator[tuple[HoldManager, AgentMonitor]]:
    """Build the agent monitor, with its own HTTP session so that it is never starved."""
    settings, registry = base.settings, base.index.registry
    async with _session(settings, base.name, base.metrics, base.certificates) as session:
        directory = _directory(session, base)
        for target in registry.bots:
            base.metrics.agents.holds_reapplied.labels(target.name)
        holding = HoldManager(
            writer=base.writer,
            reader=base.reader,
            directory=directory,
            registry=registry,
            journal=Journal(settings.journal),
            release_at_bot=settings.release_at_bot,
            on_reapplied=lambda target: base.metrics.agents.holds_reapplied.labels(target).inc(),
        )
        watch = AgentMonitor(
            registry=registry,
            directory=directory,
            holding=holding,
            suppression=Suppression(reader=base.reader, observe_only=settings.observe_only),
            writer=base.writer,
            reader=base.reader,
            metrics=base.metrics,
            prometheus=_prometheus(base, session),
            timeouts=ProbeTimeouts(
                silence=settings.agent_silence_seconds, stop=2 * settings.agent_silence_seconds
            ),
        )
        try:
            yield holding, watch
        finally:
            holding.close()


def _suspension(base: Base, holding: HoldManager) -> PartSuspension:
    """Build what suspends the parts of bots in a maintenance window."""
    settings = base.settings
    suppression = Suppression(reader=base.reader, observe_only=settings.observe_only)
    return PartSuspension(base.index.registry, suppression, holding.suspend_parts)


@contextlib.asynccontextmanager
async def _qualifying(base: Base, holding: HoldManager) -> AsyncIterator[ReadinessRoutes]:
    """Build the evaluation of readiness runs."""
    settings, registry = base.settings, base.index.registry
    evaluator = Evaluator(
        reader=base.reader,
        writer=base.writer,
        prometheus=_prometheus(base, base.session),
        registry=registry,
        holding=holding,
        suppression=Suppression(reader=base.reader, observe_only=settings.observe_only),
        metrics=base.metrics.readiness,
    )
    async with base.tasks.running("readiness", evaluator.run):
        yield ReadinessRoutes(
            base.writer,
            base.asking,
            registry,
            load_plan(settings.readiness_config),
            evaluator.wakeup,
            audit_key=settings.secret("audit_key").encode(),
            two_persons=settings.two_persons,
        )


@contextlib.asynccontextmanager
async def _reading_events(base: Base, watch: AgentMonitor, outbox: Outbox) -> AsyncIterator[None]:
    """Build the collection of bot events."""

    def heads() -> dict[str, EventsHead]:
        found = {}
        for name, probe in watch.probes.items():
            head = None if probe.report is None or probe.misses else probe.report.health.events
            if head is not None:
                found[name] = head
        return found

    collector = BotEvents(
        registry=base.index.registry,
        directory=_directory(base.session, base),
        heads=heads,
        outbox=outbox,
        writer=base.writer,
        reader=base.reader,
        dropped=base.metrics.agents.events_dropped,
        per_minute=base.settings.bot_events_per_minute,
    )
    async with base.tasks.running("bot_events", collector.run):
        yield


def _prometheus(
    base: Base, session: aiohttp.ClientSession, on_date: OnDate | None = None
) -> Prometheus:
    return Prometheus(base.engines.over(session).prometheus(on_date=on_date))


def _directory(session: aiohttp.ClientSession, base: Base) -> Directory:
    count = base.metrics.agents.freqtrade_requests
    for target in base.index.registry.of_kind(Kind.FREQTRADE):
        count.labels(target.name)
    return Directory(
        session,
        base.index.registry,
        SecretFiles(base.settings),
        on_freqtrade_request=lambda name: count.labels(name).inc(),
    )


@contextlib.asynccontextmanager
async def _measured(base: Base) -> AsyncIterator[None]:
    """Publish metrics outside the loop, so that a hung loop does not hide them."""
    measuring = DatabaseMetrics(
        writer=base.writer,
        reader=base.reader,
        leases=base.lease,
        certificates=base.certificates,
        metrics=base.metrics,
    )
    measuring.register()
    async with base.tasks.running("measurements", measuring.run):
        yield


@contextlib.asynccontextmanager
async def _messaging(base: Base) -> AsyncIterator[Outbox]:
    """Build the delivery of notifications that do not page."""
    outbox = Outbox(
        config_path=base.settings.notify_config,
        urls_path=base.settings.secrets / NOTIFY_URLS,
        writer=base.writer,
        reader=base.reader,
        metrics=base.metrics.outbox,
    )
    async with base.tasks.running("outbox", outbox.run):
        yield outbox


@contextlib.asynccontextmanager
async def _backed_up(base: Base) -> AsyncIterator[Backups]:
    """Build scheduled backups and their metrics."""
    backups = Backups(settings=base.settings, writer=base.writer, metrics=base.metrics.backups)
    async with base.tasks.running("backups", backups.run):
        yield backups


@contextlib.contextmanager
def _writers(settings: Settings) -> Iterator[tuple[Writer, Writer]]:
    """Start the writer, and the writer of leases: with SQLite they are the same."""
    key = settings.secret("audit_key").encode()
    writers = [Writer(writing_engine(settings.database_url), key)]
    if sqlite_path(settings.database_url) is None:
        writers.append(Writer(writing_engine(settings.database_url), key))
    for writer in writers:
        writer.start()
    try:
        yield writers[0], writers[-1]
    finally:
        for writer in reversed(writers):
            writer.stop()


def _loop(base: Base) -> Loop:
    wakeup = base.wakeup
    clocks = Clocks()
    prometheus = _prometheus(base, base.session, clocks.other(PROMETHEUS))
    receivers = [one.strip() for one in base.settings.alertmanager_receivers.split(",")]
    alertmanagers = Alertmanagers(
        [
            Alertmanager(http, receivers=receivers)
            for http in base.engines.alertmanagers(on_date=clocks.other(ALERTMANAGER))
        ]
    )
    workers = Workers(wakeup.set, base.handling)
    incident_reconciler = _incident_reconciler(base, prometheus, workers)
    return Loop(
        reader=base.reader,
        index=base.index,
        leases=base.lease,
        intake=Intake(
            writer=base.writer,
            reader=base.reader,
            index=base.index,
            metrics=base.metrics,
            wake=wakeup.set,
        ),
        observer=Observer(
            prometheus=prometheus,
            alertmanagers=alertmanagers,
            writer=base.writer,
            index=base.index,
            metrics=base.metrics,
            clocks=clocks,
        ),
        incident_reconciler=incident_reconciler,
        manual_actions=_manual(base, incident_reconciler, prometheus),
        acknowledgements=AcknowledgementSync(
            writer=base.writer,
            reader=base.reader,
            alertmanagers=alertmanagers,
            index=base.index,
            metrics=base.metrics,
        ),
        clock_reports=ClockReports(
            clocks=clocks,
            writer=base.writer,
            metrics=base.metrics,
            alertmanagers=alertmanagers,
        ),
        silences=SilenceMonitor(
            reader=base.reader,
            alertmanagers=alertmanagers,
            index=base.index,
            metrics=base.metrics,
            longest=timedelta(seconds=base.settings.silence_longest_seconds),
        ),
        workers=workers,
        retention=_retention(base),
        tasks=base.tasks,
        metrics=base.metrics,
        limits=limits_of(base.settings),
        poll_seconds=base.settings.poll_interval_seconds,
        wakeup=wakeup,
    )


def _audit_keys(settings: Settings) -> list[bytes]:
    """Return the key in use, then older ones."""
    return [key.encode() for key in settings.accepted_secrets("audit_key")]


def _retention(base: Base) -> Retention:
    return Retention(
        writer=base.writer,
        reader=base.asking,
        archive=Archive(folder=base.settings.archive, keys=_audit_keys(base.settings)),
        on_result=base.metrics.jobs.note_retention,
        notifications_kept=timedelta(days=base.settings.notifications_kept_days),
        incidents_kept=timedelta(days=base.settings.incidents_kept_days),
        messages_kept=timedelta(days=base.settings.messages_kept_days),
        bot_events_kept=timedelta(days=base.settings.bot_events_kept_days),
        bot_events_kept_rows=base.settings.bot_events_kept_rows,
        events_kept=timedelta(days=base.settings.events_kept_days),
    )


def _scheduler(base: Base) -> Scheduler:
    return Scheduler(
        entries=load_jobs(base.settings.targets_file.parent),
        windows=load_windows(base.settings.targets_file.parent, base.index.registry),
        writer=base.writer,
        reader=base.asking,
        lease=base.lease,
        metrics=base.metrics.jobs,
        settings=base.settings,
    )


def _manual(
    base: Base, incident_reconciler: IncidentReconciler, prometheus: Prometheus
) -> ManualActions:
    return ManualActions(
        writer=base.writer,
        reader=base.reader,
        registry=base.index.registry,
        leases=base.lease,
        workers=incident_reconciler.workers,
        runner=incident_reconciler.runner,
        recovery=incident_reconciler.recovery,
        world_builder=incident_reconciler.world_builder,
        limits=incident_reconciler.limits,
        budget=ErrorBudget(prometheus=prometheus) if base.settings.freeze_on_spent_budget else None,
        two_persons=base.settings.two_persons,
    )


def _incident_reconciler(
    base: Base, prometheus: Prometheus, workers: Workers
) -> IncidentReconciler:
    directory = _directory(base.session, base)
    runner = AttemptRunner(
        clients=directory,
        actions=actions.build(directory, Notices(base.metrics)),
        writer=base.writer,
        metrics=base.metrics,
        may_start=base.lease.may_start,
    )
    return IncidentReconciler(
        writer=base.writer,
        index=base.index,
        leases=base.lease,
        decision_log=DecisionLog(
            writer=base.writer, leases=base.lease, index=base.index, metrics=base.metrics
        ),
        workers=workers,
        runner=runner,
        verifier=Verifier(prometheus=prometheus, writer=base.writer, metrics=base.metrics),
        recovery=AttemptRecovery(writer=base.writer, leases=base.lease, runner=runner),
        limits=limits_of(base.settings),
        world_builder=WorldBuilder(
            index=base.index,
            limits=limits_of(base.settings),
            observe_only=base.settings.observe_only,
        ),
    )
