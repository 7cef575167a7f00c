"""Builds the reconciler's HTTP application."""

from aiohttp import web

from trading_ops import clock
from trading_ops.api.admin_requests import admin_operations, count_admin_requests
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
from trading_ops.app.dependencies import Dependencies, Parts
from trading_ops.capacity.read import Capacity, choices_of
from trading_ops.clients.prometheus import Prometheus
from trading_ops.console.build import add_console
from trading_ops.domain.target import NAMED_BOTS
from trading_ops.readiness.plan import load_plan
from trading_ops.reports.recovery_times import recovery_times
from trading_ops.reports.sending import ReportSender


def application_of(deps: Dependencies, parts: Parts) -> web.Application:
    """Return the application; it closes its streams on shutdown."""
    authenticator = Authenticator(
        deps.settings, lambda reason: deps.metrics.security.auth_refused.labels(reason).inc()
    )
    stream = StreamRoutes(Feed(deps.api_reader), Feed(deps.api_reader, BOT_EVENTS), authenticator)
    deps.metrics.websocket_clients.set_function(lambda: stream.clients)
    handlers = _handlers(deps, parts, stream)
    table = count_admin_requests(routes(handlers), deps.metrics.security.count_admin)
    for operation in admin_operations(table):
        deps.metrics.security.admin_requests.labels(operation)
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


def _handlers(deps: Dependencies, parts: Parts, stream: StreamRoutes) -> Handlers:
    settings, reader, writer = deps.settings, deps.api_reader, deps.writer
    registry = deps.index.registry
    loop, monitor = parts.loop, parts.agent_monitor

    def passed_ago() -> float:
        return clock.monotonic() - loop.passed_at

    known = CachedState(
        passed_ago=passed_ago,
        poll_seconds=loop.poll_seconds,
        snapshot=lambda: loop.snapshot,
        probes=lambda: list(monitor.probes.values()),
        queue=lambda: writer.waiting,
    )
    books = {path.stem: path.read_text("utf-8") for path in settings.runbooks.glob("*.md")}
    return Handlers(
        webhook=Webhook(loop.intake),
        message_webhook=MessageWebhook(parts.outbox),
        incidents=IncidentRoutes(
            reader, writer, registry, loop.acknowledgements, lambda: loop.snapshot
        ),
        attempts=AttemptRoutes(reader, registry),
        catalogue=CatalogueRoutes(
            deps.index, books, loop.manual_actions, deps.metrics.security.count_admin
        ),
        approvals=ApprovalRoutes(writer, reader),
        automation=AutomationRoutes(writer, reader, registry, deps.metrics),
        backups=BackupRoutes(reader, parts.backups),
        bot_events=BotEventRoutes(reader),
        maintenance=MaintenanceRoutes(writer, reader, registry),
        messages=MessageRoutes(writer, reader, parts.outbox),
        readiness=ReadinessRoutes(
            writer,
            reader,
            registry,
            load_plan(settings.readiness_config),
            parts.readiness.wakeup,
            audit_key=settings.secret("audit_key").encode(),
            two_person_approval=settings.two_person_approval,
        ),
        reports=ReportRoutes(
            ReportSender(
                prometheus=Prometheus(deps.monitoring.reports_prometheus()),
                reader=reader,
                outbox=parts.outbox,
                bots=tuple(target.name for target in registry if target.kind in NAMED_BOTS),
                capacity=_capacity(deps),
            )
        ),
        jobs=JobRoutes(parts.scheduler),
        targets=TargetRoutes(
            reader,
            writer,
            registry,
            parts.holding,
            lambda: loop.silences.of_target,
            lambda: monitor.probes,
            observe_only=settings.observe_only,
            two_person_approval=settings.two_person_approval,
        ),
        health=HealthRoutes(known=known, reader=reader, registry=registry, var=settings.var),
        alerts=AlertRoutes(
            reader, deps.index, lambda: loop.snapshot, lambda: loop.state.by_id, loop.silences
        ),
        capacity=CapacityRoutes(_capacity(deps), registry),
        events=EventRoutes(reader, recovery_times),
        stream=stream,
        system=SystemRoutes(reader, deps.metrics, passed_ago, deps.tasks.problems),
    )


def _capacity(deps: Dependencies) -> Capacity:
    return Capacity(Prometheus(deps.monitoring.prometheus()), lambda: choices_of(deps.settings))
