"""Builds the reconciler's HTTP application."""

from aiohttp import web

from trading_ops import clock
from trading_ops.api.alerts import AlertRoutes
from trading_ops.api.approvals import ApprovalRoutes
from trading_ops.api.attempts import AttemptRoutes
from trading_ops.api.auth import Authenticator
from trading_ops.api.automation import AutomationRoutes
from trading_ops.api.backups import BackupRoutes
from trading_ops.api.bot_events import BOT_EVENTS, BotEventRoutes
from trading_ops.api.capacity import CapacityRoutes
from trading_ops.api.catalogue import CatalogueRoutes
from trading_ops.api.event_stream import Feed
from trading_ops.api.events import EventRoutes
from trading_ops.api.health import CachedState, HealthRoutes
from trading_ops.api.incidents import IncidentRoutes
from trading_ops.api.jobs import JobRoutes
from trading_ops.api.maintenance import MaintenanceRoutes
from trading_ops.api.messages import MessageRoutes
from trading_ops.api.readiness import ReadinessRoutes
from trading_ops.api.reports import ReportRoutes
from trading_ops.api.routes import Handlers, build_application, routes
from trading_ops.api.stream import StreamRoutes
from trading_ops.api.system import SystemRoutes
from trading_ops.api.targets import TargetRoutes
from trading_ops.api.webhook import MessageWebhook, Webhook
from trading_ops.app.dependencies import Dependencies
from trading_ops.backup.scheduled import Backups
from trading_ops.capacity.read import Capacity, choices_of
from trading_ops.clients.prometheus import Prometheus
from trading_ops.console.build import add_console
from trading_ops.domain.target import NAMED_BOTS
from trading_ops.holds.agent_monitor import AgentMonitor
from trading_ops.holds.holds import HoldManager
from trading_ops.jobs.scheduler import Scheduler
from trading_ops.messages.outbox import Outbox
from trading_ops.reconciler.loop import Loop
from trading_ops.reports.recovery_times import recovery_times
from trading_ops.reports.sending import ReportSender


def application_of(
    deps: Dependencies,
    loop: Loop,
    holding: HoldManager,
    agent_monitor: AgentMonitor,
    *,
    outbox: Outbox,
    backups: Backups,
    readiness: ReadinessRoutes,
    scheduler: Scheduler,
) -> web.Application:
    """Return the application; it closes its streams on shutdown."""
    authenticator = Authenticator(
        deps.settings, lambda reason: deps.metrics.security.auth_refused.labels(reason).inc()
    )
    stream = StreamRoutes(Feed(deps.api_reader), Feed(deps.api_reader, BOT_EVENTS), authenticator)
    deps.metrics.websocket_clients.set_function(lambda: stream.clients)
    handlers = _handlers(
        deps,
        loop,
        holding,
        agent_monitor,
        stream,
        outbox=outbox,
        backups=backups,
        readiness=readiness,
        scheduler=scheduler,
    )
    table = routes(handlers)
    application = build_application(table, authenticator)
    add_console(
        application,
        table=table,
        authenticator=authenticator,
        settings=deps.settings,
        registry=deps.index.registry,
        reader=deps.api_reader,
        monitoring=deps.monitoring,
    )

    async def close_streams(_application: web.Application) -> None:
        await stream.close()

    application.on_shutdown.append(close_streams)
    return application


def _handlers(
    deps: Dependencies,
    loop: Loop,
    holding: HoldManager,
    agent_monitor: AgentMonitor,
    stream: StreamRoutes,
    *,
    outbox: Outbox,
    backups: Backups,
    readiness: ReadinessRoutes,
    scheduler: Scheduler,
) -> Handlers:
    settings, reader, writer = deps.settings, deps.api_reader, deps.writer
    registry = deps.index.registry

    def passed_ago() -> float:
        return clock.monotonic() - loop.passed_at

    known = CachedState(
        passed_ago=passed_ago,
        poll_seconds=loop.poll_seconds,
        snapshot=lambda: loop.snapshot,
        probes=lambda: list(agent_monitor.probes.values()),
        queue=lambda: writer.waiting,
    )
    books = {path.stem: path.read_text("utf-8") for path in settings.runbooks.glob("*.md")}
    return Handlers(
        webhook=Webhook(loop.intake),
        message_webhook=MessageWebhook(outbox),
        incidents=IncidentRoutes(
            reader, writer, registry, loop.acknowledgements, lambda: loop.snapshot
        ),
        attempts=AttemptRoutes(reader, registry),
        catalogue=CatalogueRoutes(deps.index, books, loop.manual_actions),
        approvals=ApprovalRoutes(writer, reader),
        automation=AutomationRoutes(writer, reader, registry, deps.metrics),
        backups=BackupRoutes(reader, backups),
        bot_events=BotEventRoutes(reader),
        maintenance=MaintenanceRoutes(writer, reader, registry),
        messages=MessageRoutes(writer, reader, outbox),
        readiness=readiness,
        reports=ReportRoutes(
            ReportSender(
                prometheus=Prometheus(deps.monitoring.reports_prometheus()),
                reader=reader,
                outbox=outbox,
                bots=tuple(target.name for target in registry if target.kind in NAMED_BOTS),
                capacity=_capacity(deps),
            )
        ),
        jobs=JobRoutes(scheduler),
        targets=TargetRoutes(
            reader,
            writer,
            registry,
            holding,
            lambda: loop.silences.of_target,
            lambda: agent_monitor.probes,
            observe_only=settings.observe_only,
            two_person_approval=settings.two_person_approval,
        ),
        health=HealthRoutes(known=known, reader=reader, registry=registry, var=settings.var),
        alerts=AlertRoutes(reader, deps.index, lambda: loop.snapshot, lambda: loop.state.by_id),
        capacity=CapacityRoutes(_capacity(deps), registry),
        events=EventRoutes(reader, recovery_times),
        stream=stream,
        system=SystemRoutes(reader, deps.metrics, passed_ago, deps.tasks.problems),
    )


def _capacity(deps: Dependencies) -> Capacity:
    return Capacity(Prometheus(deps.monitoring.prometheus()), lambda: choices_of(deps.settings))
