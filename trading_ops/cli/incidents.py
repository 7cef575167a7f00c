"""`incidents`: what happened, what was done about it, and what was left undone and why."""

import asyncio
import sys

import click
import msgspec
from rich.table import Table

from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.clients.reconciler import IncidentView, StoryView
from trading_ops.settings import load_settings
from trading_ops.stack.scene import open_scene


@click.group(invoke_without_command=True)
@click.option("--open", "only_open", is_flag=True, help="Only those that are open.")
@click.option("--target", metavar="NAME", help="Only those of one target.")
@click.option("--alert", metavar="NAME", help="Only those of one alert.")
@click.option("--limit", default=20, show_default=True, help="At most so many.")
@output_option
@click.pass_context
def incidents(
    context: click.Context,
    *,
    only_open: bool,
    target: str | None,
    alert: str | None,
    limit: int,
    output: str,
) -> None:
    """List incidents, newest first; `incidents show ID` tells the story of one."""
    if context.invoked_subcommand is not None:
        return
    given = {
        "open": "true" if only_open else None,
        "target": target,
        "alertname": alert,
        "limit": str(limit),
    }
    filters = {key: value for key, value in given.items() if value is not None}

    async def run() -> list[IncidentView]:
        async with open_scene(load_settings()) as scene:
            return await scene.reconciler.incidents(**filters)

    found = asyncio.run(run())
    if output == "json":
        print_json(msgspec.to_builtins(found))
        return
    table = Table()
    for column in ("id", "alert", "target", "opened", "lasted", "state"):
        table.add_column(column)
    for incident in found:
        table.add_row(*_row(incident))
    out().print(table if found else "no incidents")


def _row(incident: IncidentView) -> tuple[str, ...]:
    closed = incident.closed_at
    lasted = f"{(closed - incident.opened_at).total_seconds():.1f} s" if closed else "-"
    state = incident.close_reason or ("with a person" if incident.escalated_at else "open")
    opened = incident.opened_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return incident.id[:8], incident.alert, incident.target or "-", opened, lasted, state


@incidents.command()
@click.argument("key", metavar="ID")
@output_option
def show(key: str, output: str) -> None:
    """Tell the whole story of one incident; the first letters of its ID are enough."""

    async def run() -> StoryView | None:
        async with open_scene(load_settings()) as scene:
            return await scene.reconciler.story(key)

    story = asyncio.run(run())
    if story is None:
        click.echo(f"no incident has the id {key}, or several begin so", err=True)
        sys.exit(ExitCode.FAILED)
    if output == "json":
        print_json(msgspec.to_builtins(story))
        return
    incident = story.incident
    click.echo(f"{incident.alert} on {incident.target or 'no target'}  ({incident.id})")
    for event in story.events:
        seconds = (event.at - incident.received_at).total_seconds()
        what = " ".join(filter(None, (event.reason, event.note)))
        click.echo(f"  {seconds:+9.3f} s  {event.kind:<16} {what}")
