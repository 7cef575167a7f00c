"""Builds the console from parts of the reconciler."""

from datetime import timedelta

from aiohttp import web

from trading_ops import logs
from trading_ops.api.auth import Authenticator
from trading_ops.api.route import Route
from trading_ops.clients.monitoring import Monitoring
from trading_ops.clients.prometheus import Prometheus
from trading_ops.config.settings import Settings
from trading_ops.console.calls import Calls
from trading_ops.console.figures import FigureReader
from trading_ops.console.form_handlers import FormHandlers
from trading_ops.console.live import Heads, LiveUpdates
from trading_ops.console.pages import Pages
from trading_ops.console.reading import FleetReader
from trading_ops.console.sessions import Sessions
from trading_ops.console.site import Site
from trading_ops.domain.target import NAMED_BOTS, Kind, Registry
from trading_ops.store import Connection, bot_events, events
from trading_ops.store.reader import Reader

log = logs.get(__name__)

PROMETHEUS_WITHIN = timedelta(seconds=2)
WEB = ("http://", "https://")


def add_console(
    application: web.Application,
    *,
    table: list[Route],
    authenticator: Authenticator,
    settings: Settings,
    registry: Registry,
    reader: Reader,
    monitoring: Monitoring,
) -> None:
    """Add the console's routes to the reconciler's application."""
    calls = Calls(table)
    bots = [target for target in registry if target.kind in NAMED_BOTS]
    figures = FigureReader(
        Prometheus(monitoring.prometheus(within=PROMETHEUS_WITHIN)),
        [bot.name for bot in bots],
        all_have_agents=all(bot.kind is Kind.BOT for bot in bots),
    )
    reading = FleetReader(calls, figures)
    live = LiveUpdates(lambda: reader.start(_heads))
    hosts = (host.strip().lower() for host in settings.console_hosts.split(","))
    grafana = settings.grafana_url.strip()
    if grafana and not grafana.startswith(WEB):
        log.error("grafana_url_ignored", fix="begin it with http:// or https://")
        grafana = ""
    Site(
        calls=calls,
        authenticator=authenticator,
        sessions=Sessions(
            settings.var / "reconciler" / "console_sessions.json",
            idle_seconds=settings.console_idle_seconds,
        ),
        reading=reading,
        pages=Pages(reading, figures),
        handlers=FormHandlers(reading, registry),
        live=live,
        hosts=frozenset(host for host in hosts if host),
        grafana=grafana,
    ).add_to(application)

    async def close_pages(_application: web.Application) -> None:
        live.closing.set()

    application.on_shutdown.append(close_pages)


def _heads(connection: Connection) -> Heads:
    return events.head(connection), bot_events.head(connection)
