"""`capacity`: usage, growth and forecast of each resource, and recommendations."""

from collections.abc import Sequence
from datetime import timedelta

import click
import msgspec
from rich.table import Table
from rich.text import Text

from trading_ops.capacity.plan import CapacityView, DaysView, Level, ResourceView
from trading_ops.capacity.recommend import amount
from trading_ops.capacity.trend import GrowthFinding
from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.reconciler_connection import ask
from trading_ops.cli.timeline import plain
from trading_ops.clients.reconciler import ReconcilerApi

WITHIN = timedelta(minutes=2)
"""Timeout in seconds: a month of data is read."""

COLORS = {Level.CRITICAL: "red", Level.WARNING: "yellow", Level.UNKNOWN: "magenta"}


@click.command()
@click.option("--bot", metavar="NAME", help="Only the resources of this bot.")
@output_option
def capacity(bot: str | None, output: str) -> None:
    """Show what each resource uses, how it grows, and when it runs out.

    p95 and peak cover the last week; growth is the trend of the daily peaks of up to 30 days.
    Thresholds, limits and prices are in capacity.yml.
    """

    async def read(api: ReconcilerApi) -> CapacityView:
        return await api.capacity(CapacityView, bot, WITHIN)

    found = ask(read)
    if output == "json":
        print_json(msgspec.to_builtins(found))
        return
    out().print(capacity_table(found.resources))
    if found.bottlenecks:
        click.echo("\nBottlenecks, worst first:")
        for number, bottleneck in enumerate(found.bottlenecks, 1):
            click.echo(f"{number:>3}. {_bottleneck(bottleneck)}")
    due = [
        resource
        for resource in found.resources
        if resource.level in {Level.CRITICAL, Level.WARNING}
    ]
    click.echo("\nRecommendations:" if due else "\nNo action needed.")
    for resource in due:
        price = (
            ""
            if resource.cost is None
            else f" Cost: {resource.cost:,.2f} {found.currency} per month."
        )
        click.echo(f"  - {plain(resource.recommendation)}{price}")


def capacity_table(found: Sequence[ResourceView]) -> Table:
    """Return one line for each resource."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("resource", overflow="fold")
    table.add_column("level", no_wrap=True)
    for column in ("now", "p95", "peak", "limit", "growth per day", "days to warning"):
        table.add_column(column, justify="right", overflow="fold")
    table.add_column("critical", justify="right")
    table.add_column("full", justify="right")
    for resource in found:
        figures = (resource.now, resource.p95, resource.peak, resource.limit)
        table.add_row(
            Text(plain(" ".join([resource.resource, *resource.labels.values()]))),
            Text(resource.level.value, style=COLORS.get(resource.level, "")),
            *("-" if value is None else amount(resource.unit, value) for value in figures),
            _growth(resource),
            *(
                _days(resource, days)
                for days in (resource.to_warning, resource.to_critical, resource.to_full)
            ),
        )
    return table


def _growth(resource: ResourceView) -> str:
    if resource.growth is None:
        return "-"
    if resource.growth.finding in {GrowthFinding.NO_TREND, GrowthFinding.TOO_SHORT}:
        return resource.growth.finding.value.replace("_", " ")
    parts = (resource.growth.per_day, resource.growth.low, resource.growth.high)
    middle, low, high = (amount(resource.unit, part) for part in parts)
    return f"{middle} ({low} to {high})"


def _days(resource: ResourceView, days: DaysView | None) -> str:
    if days is None:
        return "-"
    if days.expected is None:
        return (
            "never"
            if resource.growth and resource.growth.finding is not GrowthFinding.GROWING
            else ">3650"
        )
    if days.expected == 0:
        return "reached"
    latest = "-" if days.latest is None else f"{days.latest:.0f}"
    return f"{days.expected:.0f} ({days.earliest or 0:.0f} to {latest})"


def _bottleneck(resource: ResourceView) -> str:
    parts = []
    if resource.limit and resource.p95 is not None:
        parts.append(f"p95 {resource.p95 / resource.limit:.0%} of the limit")
    if resource.saturation is not None:
        parts.append(f"waiting {resource.saturation:.1%} of the time")
    if resource.errors is not None:
        parts.append(f"{resource.errors:.0f} errors in the last hour")
    name = plain(" ".join([resource.resource, *resource.labels.values()]))
    runbook = f"; see {resource.runbook}" if resource.runbook else ""
    return f"{name}: {', '.join(parts)}{runbook}"
