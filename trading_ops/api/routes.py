"""Every route with its role, in one table."""

import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from trading_ops.api import openapi
from trading_ops.api.auth import Authenticator
from trading_ops.api.automation import Automation
from trading_ops.api.identity import Role
from trading_ops.api.incidents import Incidents
from trading_ops.api.openapi import OpenApi
from trading_ops.api.problems import problems
from trading_ops.api.route import Route, guarded, route
from trading_ops.api.system import TEXT, System
from trading_ops.api.webhook import BODY_LIMIT_BYTES, Webhook

VIEWER, OPERATOR, ADMIN = Role.VIEWER, Role.OPERATOR, Role.ADMIN


@dataclass(frozen=True, kw_only=True)
class Handlers:
    """Who answers."""

    webhook: Webhook
    incidents: Incidents
    automation: Automation
    system: System


def routes(to: Handlers) -> list[Route]:
    """Return the table."""
    document = OpenApi()
    table = [
        *_incidents(to.incidents),
        *_automation(to.automation),
        *_system(to.system),
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
    ]
    document.describe(table)
    return table


def described() -> list[Route]:
    """Return the table with nobody behind it: for documents, and for tests of every route."""
    kinds = typing.get_type_hints(Handlers)
    blank: dict[str, Any] = {name: object.__new__(kind) for name, kind in kinds.items()}
    return routes(Handlers(**blank))


def _incidents(to: Incidents) -> list[Route]:
    return [
        route("GET", "/api/v1/incidents", VIEWER, "incidents", to.search),
        route("GET", "/api/v1/incidents/{id}", VIEWER, "incidents", to.show),
    ]


def _automation(to: Automation) -> list[Route]:
    return [
        route("GET", "/api/v1/pause", VIEWER, "automation", to.show),
        route("POST", "/api/v1/pause", OPERATOR, "automation", to.pause, status=201),
        route("DELETE", "/api/v1/pause", OPERATOR, "automation", to.resume),
        route("POST", "/api/v1/targets/{name}/forgive", ADMIN, "targets", to.forgive),
    ]


def _system(to: System) -> list[Route]:
    return [
        route("GET", "/api/v1/status", VIEWER, "system", to.status),
        route("POST", "/api/v1/test-alert", OPERATOR, "system", to.test_alert, status=202),
        route("DELETE", "/api/v1/test-alert", OPERATOR, "system", to.end_test_alert),
        route("GET", "/metrics", Role.METRICS, "system", to.metrics, media=TEXT),
        route("GET", "/-/ready", Role.ANYONE, "system", to.ready, media=TEXT),
        route("GET", "/-/healthy", Role.ANYONE, "system", to.healthy, media=TEXT),
    ]


def build_application(table: Sequence[Route], authenticator: Authenticator) -> web.Application:
    """Return the application; compressed bodies are not unpacked, so none can blow up."""
    app = web.Application(client_max_size=BODY_LIMIT_BYTES, middlewares=[problems])
    for one in table:
        app.router.add_route(one.method, one.path, guarded(one, authenticator))
    return app
