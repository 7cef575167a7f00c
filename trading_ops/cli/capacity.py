"""`capacity`: usage, growth and forecast of each resource, and recommendations."""

from collections.abc import Sequence
from datetime import timedelta

import click
import msgspec
from rich.table import Table
from rich.text import Text

from trading_ops.capacity.plan import CapacityView, DaysView, Level, ResourceView
from trading_ops.capacity.recommend import amount
from trading_ops.capacity.trend import Finding
from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.reconciler_connection import ask
from trading_ops.cli.timeline import plain
from trading_ops.clients.reconciler import ReconcilerApi

WITHIN = timedelta(minutes=2)
"""Timeout in seconds: a month of data is read."""

COLOURS = {Level.CRITICAL: "red", Level.WARNING: "yellow", Level.UNKNOWN: "magenta"}


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
        for number, one in enumerate(found.bottlenecks, 1):
            click.echo(f"{number:>3}. {_bottleneck(one)}")
    due = [one for one in found.resources if one.level in {Level.CRITICAL, Level.WARNING}]
    click.echo("\nRecommendations:" if due else "\nNo action needed.")
    for one in due:
        price = "" if one.cost is None else f" Cost: {one.cost:,.2f} {found.currency} per month."
        click.echo(f"  - {plain(one.recommendation)}{price}")


def capacity_table(found: Sequence[ResourceView]) -> Table:
    """Return one line for each resource."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("resource", overflow="fold")
    table.add_column("level", no_wrap=True)
    for column in ("now", "p95", "peak", "limit", "growth per day", "days to warning"):
        table.add_column(column, justify="right", overflow="fold")
    table.add_column("critical", justify="right")
    table.add_column("full", justify="right")
    for one in found:
        figures = (one.now, one.p95, one.peak, one.limit)
        table.add_row(
            Text(plain(" ".join([one.resource, *one.labels.values()]))),
            Text(one.level.value, style=COLOURS.get(one.level, "")),
            *("-" if value is None else amount(one.unit, value) for value in figures),
            _growth(one),
            *(_days(one, days) for days in (one.to_warning, one.to_critical, one.to_full)),
        )
    return table


def _growth(one: ResourceView) -> str:
    if one.growth is None:
        return "-"
    if one.growth.finding in {Finding.NO_TREND, Finding.TOO_SHORT}:
        return one.growth.finding.value.replace("_", " ")
    parts = (one.growth.per_day, one.growth.low, one.growth.high)
    middle, low, high = (amount(one.unit, part) for part in parts)
    return f"{middle} ({low} to {high})"


def _days(one: ResourceView, days: DaysView | None) -> str:
    if days is None:
        return "-"
    if days.expected is None:
        return "never" if one.growth and one.growth.finding is not Finding.GROWING else ">3650"
    if days.expected == 0:
        return "reached"
    latest = "-" if days.latest is None else f"{days.latest:.0f}"
    return f"{days.expected:.0f} ({days.earliest or 0:.0f} to {latest})"


def _bottleneck(one: ResourceView) -> str:
    parts = []
    if one.limit and one.p95 is not None:
        parts.append(f"p95 {one.p95 / one.limit:.0%} of the limit")
    if one.saturation is not None:
        parts.append(f"waiting {one.saturation:.1%} of the time")
    if one.errors is not None:
        parts.append(f"{one.errors:.0f} errors in the last hour")
    name = plain(" ".join([one.resource, *one.labels.values()]))
    runbook = f"; see {one.runbook}" if one.runbook else ""
    return f"{name}: {', '.join(parts)}{runbook}"
