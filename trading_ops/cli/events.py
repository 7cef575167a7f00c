"""`events`: search the event log, or follow it with --follow."""

import asyncio
from collections.abc import Iterable

import click
import msgspec

from trading_ops.cli.console import output_option, print_json
from trading_ops.cli.following import follow
from trading_ops.cli.reconciler_connection import ask
from trading_ops.cli.timeline import plain
from trading_ops.cli.times import moment
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.clients.reconciler_views import EventView
from trading_ops.errors import Refused


@click.command()
@click.option("--follow", "-f", "following", is_flag=True, help="Stream new events until Ctrl-C.")
@click.option("--kind", help="Only events of this kind, such as opened or started.")
@click.option(
    "--incident", metavar="ID", help="Only events of this incident; the first letters are enough."
)
@click.option("--target", metavar="NAME", help="Only events about this target.")
@click.option("--actor", metavar="NAME", help="Only events by this actor.")
@click.option(
    "--limit", default=50, show_default=True, help="Maximum number of events, newest first."
)
@output_option
def events(*, following: bool, limit: int, output: str, **filters: str | None) -> None:
    """Show events, oldest first.

    With --follow and --output json: one object per line.
    """
    given = {key: value for key, value in filters.items() if value is not None}
    if following and given:
        raise click.UsageError("--follow cannot be combined with filters")
    found = ask(lambda api: _search(api, limit, given))
    if output == "json" and not following:
        print_json(msgspec.to_builtins(found))
        return
    for event in found:
        _show(event, output)
    if following:
        after = found[-1].seq if found else 0
        asyncio.run(follow(ReconcilerApi.follow, after, lambda event: _show(event, output)))


async def _search(api: ReconcilerApi, limit: int, given: dict[str, str]) -> list[EventView]:
    """Return the newest events, oldest first; fail on an unknown incident or kind."""
    if (key := given.get("incident")) is not None:
        timeline = await api.timeline(key) if key.strip() else None
        if timeline is None:
            raise Refused(f"no incident matches {key}, or the prefix is ambiguous")
        given = given | {"incident": timeline.incident.id}
    found = (await api.events(limit=str(limit), **given)).events
    if not found and (kind := given.get("kind")) is not None:
        kinds = await api.kinds()
        if kind not in kinds:
            raise Refused(f"no stored event has the kind {kind}; known kinds: {_list(kinds)}")
    return found[::-1]


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none yet"


def _show(event: EventView, output: str) -> None:
    if output == "json":
        click.echo(msgspec.json.encode(event).decode())
        return
    who = "" if event.actor == "reconciler" else f" by {event.actor}"
    text = " ".join(filter(None, (event.kind, event.reason, event.note)))
    incident = (event.incident_id or "-")[:8]
    click.echo(plain(f"{event.seq:>6}  {moment(event.at)}  {incident:<8}  {text}{who}"))
