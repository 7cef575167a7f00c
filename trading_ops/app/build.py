"""The composition root: builds the reconciler's parts, and starts and stops them in order.

`loop` builds what handles incidents, `http` the HTTP application.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from trading_ops import logs
from trading_ops.app.dependencies import Dependencies, Parts, own_entry
from trading_ops.app.http import application_of
from trading_ops.app.loop import build_loop
from trading_ops.audit.checkpoint import Anchors, note_key
from trading_ops.audit.config_watch import ConfigWatch
from trading_ops.backoff import Seldom
from trading_ops.backup.metrics import BackupMetrics
from trading_ops.backup.scheduled import Backups
from trading_ops.clients.agent import EventsHead
from trading_ops.clients.http import session_of
from trading_ops.clients.secrets import agent_token_file
from trading_ops.config.secret_files import refuse_exposed
from trading_ops.config.settings import Settings
from trading_ops.config.targets import split_address
from trading_ops.domain.target import Kind, Registry
from trading_ops.holds.agent_monitor import AgentMonitor
from trading_ops.holds.agent_probe import ProbeTimeouts
from trading_ops.holds.holds import HoldManager
from trading_ops.holds.suppression import Suppression
from trading_ops.holds.suspension import PartSuspension
from trading_ops.jobs.config import load_jobs
from trading_ops.jobs.scheduler import Scheduler
from trading_ops.jobs.windows import load_windows
from trading_ops.notify.bot_events import BotEvents
from trading_ops.notify.channels import FILE as NOTIFY_URLS
from trading_ops.notify.config import zone_of
from trading_ops.notify.outbox import Outbox
from trading_ops.readiness.evaluate import Evaluator
from trading_ops.reconciler.crash_recovery import CrashMarks
from trading_ops.reconciler.lease import Leases, replica_name
from trading_ops.reconciler.loop import Loop
from trading_ops.reconciler.metrics import DatabaseMetricsUpdater, ReconcilerMetrics
from trading_ops.reconciler.runbook_index import RunbookIndex, load_runbooks
from trading_ops.store import migrate
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
    agent_monitor: AgentMonitor
    tasks: Tasks
    metrics: ReconcilerMetrics
    api_reader: Reader
    """Reader of the HTTP API; the loop has its own."""


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
        CrashMarks(settings.handling) as crash_marks,
        _writers(settings) as (writer, leasing),
    ):
        reader = Reader(reading_engine(settings.database_url))
        api_reader = Reader(reading_engine(settings.database_url))
        alone = sqlite_path(settings.database_url) is not None
        try:
            metrics = ReconcilerMetrics()
            name = own_entry(settings, registry).name
            addresses = {f"{host}:{port}": name for name, host, port in _listeners(registry)}
            certificates = Certificates(settings.tls, addresses)
            async with _session(settings, name, metrics, certificates) as session:
                deps = Dependencies(
                    settings=settings,
                    index=index,
                    metrics=metrics,
                    tasks=Tasks(on_success=metrics.task_succeeded),
                    writer=writer,
                    reader=reader,
                    api_reader=api_reader,
                    leases=Leases(leasing, replica_name(), alone=alone),
                    session=session,
                    crash_marks=crash_marks,
                    certificates=certificates,
                    name=name,
                    wakeup=asyncio.Event(),
                )
                loop = build_loop(deps)
                scheduler = _scheduler(deps)
                async with (
                    _audit_anchors(deps),
                    _database_metrics(deps),
                    _outbox(deps) as outbox,
                    _backups(deps) as backups,
                    deps.tasks.running("jobs", scheduler.run),
                    deps.tasks.running("configuration", _config_watch(deps).run),
                    _agent_monitor(deps) as (holding, agent_monitor),
                    deps.tasks.running("suspension", _suspension(deps, holding).run),
                    _readiness(deps, holding) as readiness,
                    _bot_events(deps, agent_monitor, outbox),
                ):
                    parts = Parts(
                        loop=loop,
                        scheduler=scheduler,
                        outbox=outbox,
                        backups=backups,
                        holding=holding,
                        agent_monitor=agent_monitor,
                        readiness=readiness,
                    )
                    yield Reconciler(
                        application=application_of(deps, parts),
                        loop=loop,
                        holding=holding,
                        agent_monitor=agent_monitor,
                        tasks=deps.tasks,
                        metrics=metrics,
                        api_reader=api_reader,
                    )
        finally:
            api_reader.close()
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
async def _audit_anchors(deps: Dependencies) -> AsyncIterator[None]:
    """Anchor the audit log outside the database."""
    keys = deps.audit_keys
    await note_key(deps.writer, keys)
    anchors = Anchors(
        path=deps.settings.anchors,
        key=keys[0],
        reader=deps.reader,
        on_anchor=deps.metrics.audit.anchored.set,
        on_changed=lambda: deps.metrics.audit.history_changed.set(1),
    )
    async with anchors.running(deps.tasks):
        yield


def _config_watch(deps: Dependencies) -> ConfigWatch:
    return ConfigWatch(
        prometheus=deps.prometheus(),
        runbooks=deps.settings.runbooks,
        writer=deps.writer,
        reader=deps.reader,
        changed_at=deps.metrics.audit.configuration_changed,
    )


@contextlib.asynccontextmanager
async def _agent_monitor(deps: Dependencies) -> AsyncIterator[tuple[HoldManager, AgentMonitor]]:
    """Build the agent monitor, with its own HTTP session so that it is never starved."""
    settings, registry = deps.settings, deps.index.registry
    async with _session(settings, deps.name, deps.metrics, deps.certificates) as session:
        directory = deps.directory(session)
        for target in registry.bots:
            deps.metrics.agents.holds_reapplied.labels(target.name)
        holding = HoldManager(
            writer=deps.writer,
            reader=deps.reader,
            directory=directory,
            registry=registry,
            journal=Journal(settings.journal),
            release_at_bot=settings.release_at_bot,
            on_reapplied=lambda target: deps.metrics.agents.holds_reapplied.labels(target).inc(),
        )
        agent_monitor = AgentMonitor(
            registry=registry,
            directory=directory,
            holding=holding,
            suppression=Suppression(reader=deps.reader, observe_only=settings.observe_only),
            writer=deps.writer,
            reader=deps.reader,
            metrics=deps.metrics,
            prometheus=deps.prometheus(session),
            timeouts=ProbeTimeouts(
                halt=settings.agent_unresponsive_seconds,
                stop=2 * settings.agent_unresponsive_seconds,
            ),
        )
        try:
            yield holding, agent_monitor
        finally:
            holding.close()


def _suspension(deps: Dependencies, holding: HoldManager) -> PartSuspension:
    """Build what suspends the parts of bots in a maintenance window."""
    settings = deps.settings
    suppression = Suppression(reader=deps.reader, observe_only=settings.observe_only)
    return PartSuspension(deps.index.registry, suppression, holding.suspend_parts)


@contextlib.asynccontextmanager
async def _readiness(deps: Dependencies, holding: HoldManager) -> AsyncIterator[Evaluator]:
    """Build the evaluation of readiness runs."""
    evaluator = Evaluator(
        reader=deps.reader,
        writer=deps.writer,
        prometheus=deps.prometheus(),
        registry=deps.index.registry,
        holding=holding,
        suppression=Suppression(reader=deps.reader, observe_only=deps.settings.observe_only),
        metrics=deps.metrics.readiness,
    )
    async with deps.tasks.running("readiness", evaluator.run):
        yield evaluator


@contextlib.asynccontextmanager
async def _bot_events(
    deps: Dependencies, agent_monitor: AgentMonitor, outbox: Outbox
) -> AsyncIterator[None]:
    """Build the collection of bot events."""

    def heads() -> dict[str, EventsHead]:
        found = {}
        for name, probe in agent_monitor.probes.items():
            head = None if probe.report is None or probe.misses else probe.report.health.events
            if head is not None:
                found[name] = head
        return found

    collector = BotEvents(
        registry=deps.index.registry,
        directory=deps.directory(),
        heads=heads,
        outbox=outbox,
        writer=deps.writer,
        reader=deps.reader,
        dropped=deps.metrics.agents.events_dropped,
        per_minute=deps.settings.bot_events_per_minute,
    )
    async with deps.tasks.running("bot_events", collector.run):
        yield


@contextlib.asynccontextmanager
async def _database_metrics(deps: Dependencies) -> AsyncIterator[None]:
    """Publish metrics outside the loop, so that a hung loop does not hide them."""
    measuring = DatabaseMetricsUpdater(
        writer=deps.writer,
        reader=deps.reader,
        leases=deps.leases,
        certificates=deps.certificates,
        metrics=deps.metrics,
    )
    measuring.register()
    async with deps.tasks.running("measurements", measuring.run):
        yield


@contextlib.asynccontextmanager
async def _outbox(deps: Dependencies) -> AsyncIterator[Outbox]:
    """Build the delivery of notifications that do not page."""
    outbox = Outbox(
        config_path=deps.settings.notify_config,
        urls_path=deps.settings.secrets / NOTIFY_URLS,
        writer=deps.writer,
        reader=deps.reader,
        metrics=deps.metrics.outbox,
    )
    async with deps.tasks.running("outbox", outbox.run):
        yield outbox


@contextlib.asynccontextmanager
async def _backups(deps: Dependencies) -> AsyncIterator[Backups]:
    """Build scheduled backups and their metrics."""
    backups = Backups(
        settings=deps.settings, writer=deps.writer, metrics=BackupMetrics(deps.metrics.registry)
    )
    async with deps.tasks.running("backups", backups.run):
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


def _scheduler(deps: Dependencies) -> Scheduler:
    folder = deps.settings.targets_file.parent
    loaded = load_windows(folder, deps.index.registry)
    for refused in loaded.refused:
        log.error("maintenance_window_refused", error=str(refused))
    jobs = load_jobs(folder, reports_zone=zone_of(deps.settings.notify_config))
    for refused in jobs.refused:
        log.error("job_entry_refused", error=str(refused))
    return Scheduler(
        entries=jobs.entries,
        refused_entries=len(jobs.refused),
        windows=loaded.windows,
        refused_windows=len(loaded.refused),
        writer=deps.writer,
        reader=deps.api_reader,
        lease=deps.leases,
        metrics=deps.metrics.jobs,
        settings=deps.settings,
    )
