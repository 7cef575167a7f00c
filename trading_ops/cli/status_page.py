"""`status-page`: the state of each part, without names or amounts."""

import asyncio

import click
import msgspec

from trading_ops import clock
from trading_ops.cli.console import print_json
from trading_ops.clients.http import session_of
from trading_ops.clients.monitoring import Monitoring
from trading_ops.clients.prometheus import Prometheus
from trading_ops.config.loading import load_settings
from trading_ops.config.targets import load_targets
from trading_ops.reports.status_page import StatusPage, as_html, make_status_page


@click.command("status-page")
@click.option("--output", type=click.Choice(["html", "json"]), default="html", show_default=True)
def status_page(output: str) -> None:
    """Print a static status page for stakeholders, from the firing alerts.

    Shows parts and their states only: no names of bots, venues or alerts, and no amounts.
    """
    page = asyncio.run(_make())
    if output == "json":
        print_json(msgspec.to_builtins(page))
    else:
        click.echo(as_html(page))


async def _make() -> StatusPage:
    settings = load_settings()
    registry = load_targets(settings.targets_file)
    async with session_of(settings) as session:
        monitoring = Monitoring(session, settings, registry)
        return await make_status_page(Prometheus(monitoring.prometheus()), now=clock.now())
