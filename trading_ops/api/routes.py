"""The table of all routes with their roles."""

import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from trading_ops.api import openapi
from trading_ops.api.alerts import AlertRoutes
from trading_ops.api.approvals import ApprovalRoutes
from trading_ops.api.attempts import AttemptRoutes
from trading_ops.api.auth import Authenticator, Role
from trading_ops.api.automation import AutomationRoutes
from trading_ops.api.backups import BackupRoutes
from trading_ops.api.bot_events import BotEventRoutes
from trading_ops.api.capacity import CapacityRoutes
from trading_ops.api.catalogue import CatalogueRoutes
from trading_ops.api.events import EventRoutes
from trading_ops.api.health import HealthRoutes
from trading_ops.api.incidents import IncidentRoutes
from trading_ops.api.jobs import JobRoutes
from trading_ops.api.maintenance import MaintenanceRoutes
from trading_ops.api.messages import MessageRoutes
from trading_ops.api.openapi import OpenApi
from trading_ops.api.readiness import ReadinessRoutes
from trading_ops.api.reports import ReportRoutes
from trading_ops.api.requests import problems
from trading_ops.api.route import Route, guarded, route
from trading_ops.api.stream import StreamRoutes
from trading_ops.api.system import TEXT, SystemRoutes
from trading_ops.api.targets import TargetRoutes
from trading_ops.api.webhook import BODY_LIMIT_BYTES, MessageWebhook, Webhook

VIEWER, OPERATOR, ADMIN = Role.VIEWER, Role.OPERATOR, Role.ADMIN


@dataclass(frozen=True, kw_only=True)
class Handlers:
    """The handlers of all routes."""

    webhook: Webhook
    message_webhook: MessageWebhook
    incidents: IncidentRoutes
    attempts: AttemptRoutes
    catalogue: CatalogueRoutes
    approvals: ApprovalRoutes
    automation: AutomationRoutes
    maintenance: MaintenanceRoutes
    messages: MessageRoutes
    backups: BackupRoutes
    bot_events: BotEventRoutes
    reports: ReportRoutes
    readiness: ReadinessRoutes
    jobs: JobRoutes
    targets: TargetRoutes
    health: HealthRoutes
    alerts: AlertRoutes
    capacity: CapacityRoutes
    events: EventRoutes
    stream: StreamRoutes
    system: SystemRoutes


def routes(to: Handlers) -> list[Route]:
    """Return the table."""
    document = OpenApi()
    table = [
        *_incidents(to.incidents),
        *_attempts(to.attempts, to.catalogue, to.approvals),
        *_targets(to.targets, to.automation),
        *_automation(to.automation, to.maintenance),
        *_backups(to.backups),
        *_readiness(to.readiness),
        *_jobs(to.jobs),
        *_events(to.events, to.stream, to.bot_events),
        *_alerts(to.alerts),
        *_messages(to.messages),
        *_reports(to.reports),
        *_system(to.system, to.health),
        route("GET", "/api/v1/capacity", VIEWER, "capacity", to.capacity.show, refusals=(404,)),
        route("GET", openapi.PATH, Role.ANYONE, "system", document.show),
        route(
            "POST",
            "/api/v1/webhook/alertmanager",
            Role.INTAKE,
            "intake",
            to.webhook.post,
            refusals=(413,),
            media=TEXT,
        ),
        route(
            "POST",
            "/api/v1/webhook/messages",
            Role.INTAKE,
            "intake",
            to.message_webhook.post,
            refusals=(400, 413),
            media=TEXT,
        ),
    ]
    document.describe(table)
    return table


def described() -> list[Route]:
    """Return the table without handlers' dependencies: for documents and tests."""
    kinds = typing.get_type_hints(Handlers)
    blank: dict[str, Any] = {name: object.__new__(kind) for name, kind in kinds.items()}
    return routes(Handlers(**blank))


def _incidents(to: IncidentRoutes) -> list[Route]:
    tag, path = "incidents", "/api/v1/incidents"
    acknowledge = f"{path}/{{id}}/acknowledge"
    return [
        route("GET", path, VIEWER, tag, to.search),
        route("GET", f"{path}/{{id}}", VIEWER, tag, to.show),
        route("POST", acknowledge, OPERATOR, tag, to.acknowledge, status=201, refusals=(409,)),
        route("DELETE", acknowledge, OPERATOR, tag, to.unacknowledge, refusals=(409,)),
        route("POST", f"{path}/{{id}}/resolve", OPERATOR, tag, to.resolve, refusals=(409,)),
    ]


def _attempts(
    attempts: AttemptRoutes, catalogue: CatalogueRoutes, approvals: ApprovalRoutes
) -> list[Route]:
    order, answers = (409, 502), "/api/v1/approvals/{id}"
    return [
        route("GET", "/api/v1/attempts", VIEWER, "attempts", attempts.search),
        route("GET", "/api/v1/attempts/{id}", VIEWER, "attempts", attempts.show),
        route("GET", "/api/v1/runbooks", VIEWER, "catalogue", catalogue.runbooks),
        route("GET", "/api/v1/runbooks/{alert}", VIEWER, "catalogue", catalogue.runbook),
        route("GET", "/api/v1/actions", VIEWER, "catalogue", catalogue.actions),
        route(
            "POST",
            "/api/v1/actions/{name}",
            OPERATOR,
            "catalogue",
            catalogue.execute,
            refusals=order,
        ),
        route("GET", "/api/v1/approvals", VIEWER, "approvals", approvals.search),
        route(
            "POST", f"{answers}/approve", OPERATOR, "approvals", approvals.approve, refusals=(409,)
        ),
        route("POST", f"{answers}/deny", OPERATOR, "approvals", approvals.deny, refusals=(409,)),
    ]


def _targets(to: TargetRoutes, automation: AutomationRoutes) -> list[Route]:
    tag, path = "targets", "/api/v1/targets"
    return [
        route("GET", path, VIEWER, tag, to.show),
        route("GET", "/api/v1/discovery/{name}", Role.METRICS, tag, to.discover),
        route("POST", "/api/v1/halt", OPERATOR, tag, to.halt_all),
        route("POST", "/api/v1/resume", ADMIN, tag, to.resume_all, refusals=(409,)),
        route("POST", f"{path}/{{name}}/halt", OPERATOR, tag, to.halt),
        route("POST", f"{path}/{{name}}/reduce", OPERATOR, tag, to.reduce),
        route("POST", f"{path}/{{name}}/resume", ADMIN, tag, to.resume, refusals=(409, 502)),
        route("POST", f"{path}/{{name}}/reset-budget", ADMIN, tag, automation.reset_budget),
    ]


def _automation(to: AutomationRoutes, windows: MaintenanceRoutes) -> list[Route]:
    tag, path, recurring = "automation", "/api/v1/maintenance", "/api/v1/recurring-maintenance"
    return [
        route("GET", "/api/v1/pause", VIEWER, tag, to.show),
        route("POST", "/api/v1/pause", OPERATOR, tag, to.pause, status=201),
        route("DELETE", "/api/v1/pause", OPERATOR, tag, to.resume),
        route("GET", path, VIEWER, tag, windows.show),
        route("POST", path, OPERATOR, tag, windows.begin, status=201, refusals=(409,)),
        route("GET", "/api/v1/past-maintenance", VIEWER, tag, windows.history),
        route("POST", recurring, OPERATOR, tag, windows.recur, status=201, refusals=(409,)),
        route("DELETE", f"{recurring}/{{id}}", OPERATOR, tag, windows.end_recurring),
        route("DELETE", f"{path}/{{id}}", OPERATOR, tag, windows.end),
    ]


def _backups(to: BackupRoutes) -> list[Route]:
    tag, path = "backups", "/api/v1/backups"
    return [
        route("GET", path, VIEWER, tag, to.show),
        route("POST", path, OPERATOR, tag, to.start, status=202, refusals=(409,)),
    ]


def _readiness(to: ReadinessRoutes) -> list[Route]:
    tag, path = "readiness", "/api/v1/readiness"
    bot = f"{path}/{{bot}}"
    return [
        route("GET", path, VIEWER, tag, to.show),
        route("GET", bot, VIEWER, tag, to.of),
        route("POST", bot, OPERATOR, tag, to.begin, status=201, refusals=(409,)),
        route("GET", f"{bot}/checks", VIEWER, tag, to.to_check),
        route("POST", f"{bot}/checks", OPERATOR, tag, to.checked, refusals=(409,)),
        route("POST", f"{bot}/sign-off", OPERATOR, tag, to.sign_off, refusals=(409,)),
        route("POST", f"{bot}/approve", ADMIN, tag, to.approve, refusals=(409,)),
        route("POST", f"{bot}/abort", OPERATOR, tag, to.abort, refusals=(409,)),
        route("GET", f"{bot}/report", VIEWER, tag, to.report),
    ]


def _jobs(to: JobRoutes) -> list[Route]:
    tag, path = "jobs", "/api/v1/jobs"
    item = f"{path}/{{name}}"
    return [
        route("GET", path, VIEWER, tag, to.show),
        route("GET", item, VIEWER, tag, to.one),
        route("GET", f"{item}/plan", VIEWER, tag, to.plan),
        route("POST", f"{item}/run", OPERATOR, tag, to.start, status=202, refusals=(409,)),
        route("POST", f"{item}/pause", OPERATOR, tag, to.pause, refusals=(409,)),
        route("DELETE", f"{item}/pause", OPERATOR, tag, to.resume, refusals=(409,)),
    ]


def _events(to: EventRoutes, stream: StreamRoutes, bots: BotEventRoutes) -> list[Route]:
    tag, path = "events", "/api/v1/events"
    return [
        route("GET", path, VIEWER, tag, to.search),
        route("GET", f"{path}/summary", VIEWER, tag, to.summary),
        route("GET", f"{path}/stream", VIEWER, tag, stream.stream, status=101, refusals=(426,)),
        route("GET", "/api/v1/bot-events", VIEWER, tag, bots.search),
        route("GET", "/api/v1/bot-events/summary", VIEWER, tag, bots.summary),
        route(
            "GET",
            "/api/v1/bot-events/stream",
            VIEWER,
            tag,
            stream.stream_bot_events,
            status=101,
            refusals=(426,),
        ),
        route("GET", "/api/v1/recovery", VIEWER, tag, to.recovery),
    ]


def _alerts(to: AlertRoutes) -> list[Route]:
    return [
        route("GET", "/api/v1/alerts", VIEWER, "alerts", to.search),
        route("GET", "/api/v1/alerts/{name}/history", VIEWER, "alerts", to.history),
    ]


def _messages(to: MessageRoutes) -> list[Route]:
    tag, path = "messages", "/api/v1/messages"
    return [
        route("GET", path, VIEWER, tag, to.search),
        route("GET", f"{path}/{{id}}", VIEWER, tag, to.show),
        route("POST", path, OPERATOR, tag, to.test, status=201, refusals=(409,)),
        route("POST", "/api/v1/dead-messages/retry", OPERATOR, tag, to.retry_dead),
        route("POST", f"{path}/{{id}}/retry", OPERATOR, tag, to.retry, refusals=(409,)),
        route("POST", f"{path}/{{id}}/discard", OPERATOR, tag, to.discard, refusals=(409,)),
    ]


def _reports(to: ReportRoutes) -> list[Route]:
    path = "/api/v1/reports/{period}"
    return [
        route("GET", path, VIEWER, "reports", to.show, refusals=(409,)),
        route("POST", path, OPERATOR, "reports", to.send, status=201, refusals=(409,)),
    ]


def _system(to: SystemRoutes, health: HealthRoutes) -> list[Route]:
    return [
        route("GET", "/api/v1/status", VIEWER, "system", to.status),
        route("GET", "/api/v1/health", VIEWER, "system", health.show),
        route("GET", "/api/v1/health/{component}", VIEWER, "system", health.part),
        route("POST", "/api/v1/test-alert", OPERATOR, "system", to.test_alert, status=202),
        route("DELETE", "/api/v1/test-alert", OPERATOR, "system", to.end_test_alert),
        route("GET", "/metrics", Role.METRICS, "system", to.metrics, media=TEXT),
        route("GET", "/metrics/vital", Role.METRICS, "system", to.vital, media=TEXT),
        route("GET", "/-/ready", Role.ANYONE, "system", to.ready, media=TEXT),
        route("GET", "/-/healthy", Role.ANYONE, "system", to.healthy, media=TEXT),
    ]


def build_application(table: Sequence[Route], authenticator: Authenticator) -> web.Application:
    """Return the application; compressed bodies are not decompressed, to prevent zip bombs."""
    app = web.Application(client_max_size=BODY_LIMIT_BYTES, middlewares=[problems])
    for entry in table:
        app.router.add_route(entry.method, entry.path, guarded(entry, authenticator))
    return app
