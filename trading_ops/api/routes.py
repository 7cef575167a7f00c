"""Every route with its role, in one table."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from trading_ops.api.auth import Handler, Role, guarded
from trading_ops.api.automation import Automation
from trading_ops.api.incidents import Incidents
from trading_ops.api.system import System
from trading_ops.api.webhook import BODY_LIMIT_BYTES, Webhook


@dataclass(frozen=True)
class Route:
    """One line of the table."""

    method: str
    path: str
    role: Role
    handler: Handler


def routes(
    webhook: Webhook, incidents: Incidents, automation: Automation, system: System
) -> list[Route]:
    """Return the table."""
    return [
        Route("POST", "/api/v1/webhook/alertmanager", Role.WEBHOOK, webhook.post),
        Route("GET", "/api/v1/incidents", Role.OPERATOR, incidents.search),
        Route("GET", "/api/v1/incidents/{id}", Role.OPERATOR, incidents.show),
        Route("GET", "/api/v1/pause", Role.OPERATOR, automation.show),
        Route("POST", "/api/v1/pause", Role.OPERATOR, automation.pause),
        Route("DELETE", "/api/v1/pause", Role.OPERATOR, automation.resume),
        Route("POST", "/api/v1/targets/{name}/forgive", Role.OPERATOR, automation.forgive),
        Route("POST", "/api/v1/test-alert", Role.OPERATOR, system.test_alert),
        Route("DELETE", "/api/v1/test-alert", Role.OPERATOR, system.end_test_alert),
        Route("GET", "/api/v1/status", Role.OPERATOR, system.status),
        Route("GET", "/metrics", Role.METRICS, system.metrics),
        Route("GET", "/-/ready", Role.ANYONE, system.ready),
        Route("GET", "/-/healthy", Role.ANYONE, system.healthy),
    ]


def build_application(
    table: list[Route], tokens: Mapping[Role, tuple[str, ...]]
) -> web.Application:
    """Return the application; compressed bodies are not unpacked, so none can blow up."""
    app = web.Application(client_max_size=BODY_LIMIT_BYTES)
    for route in table:
        app.router.add_route(route.method, route.path, guarded(route.role, tokens, route.handler))
    return app
