"""`incidents`: what happened, what was done about it, and what was left undone and why."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import click
import msgspec
from rich import box
from rich.table import Table
from rich.text import Text

from trading_ops import clock
from trading_ops.cli.console import id_argument, out, output_option, print_json
from trading_ops.cli.duration import Duration, Length
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.story import plain, tell
from trading_ops.cli.times import offset, short
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.clients.reconciler_views import ListedIncidentView, StandingView, StoryView
from trading_ops.domain.incident import Incident
from trading_ops.errors import ConfigError, StackError, StoreError, Unreachable
from trading_ops.reconciler.standing import ACKNOWLEDGED, NEW, read_standings
from trading_ops.reconciler.story import read_story
from trading_ops.reports.recovery_times import AlertTimes, RecoveryTimes, Spread, recovery_times
from trading_ops.settings import Settings, load_settings
from trading_ops.stack.scene import open_scene
from trading_ops.store import Connection
from trading_ops.store import incidents as stored
from trading_ops.store.offline import open_reader

T = TypeVar("T")

WORDS = {
    NEW: "open",
    "attempt_succeeded": "recovering",
    "people_only": "for people",
    "step_due": "recovering",
}
"""States that read better in other words; the others are their own."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    """List incidents, newest first; `incidents show ID` tells the story of one.

    While the reconciler does not answer, its database is read instead.
    """
    if context.invoked_subcommand is not None:
        return
    given = {
        "open": "true" if only_open else None,
        "target": target,
        "alertname": alert,
        "limit": str(limit),
    }
    filters = {key: value for key, value in given.items() if value is not None}
    search = partial(stored.search, only_open=only_open, target=target, alert=alert, limit=limit)
    found = _answer(
        lambda api: api.incidents(**filters), lambda connection: _listed(connection, search)
    )
    if output == "json":
        print_json(msgspec.to_builtins(found))
        return
    out().print(incident_table(found) if found else "no incidents")


def _answer(ask: Callable[[ReconcilerApi], Awaitable[T]], read: Callable[[Connection], T]) -> T:
    """Return what the reconciler says, or what its database holds, and say which."""
    settings = load_settings()

    async def run() -> T:
        try:
            async with open_scene(settings) as scene:
                return await ask(scene.reconciler)
        except (Unreachable, StackError, ConfigError) as error:
            with contextlib.suppress(StoreError):
                return await _read(settings, read, why=str(error))
            raise

    return asyncio.run(run())


async def _read(settings: Settings, read: Callable[[Connection], T], *, why: str) -> T:
    with open_reader(settings.database_url) as reader:
        found = await reader.read(read)
    click.echo(f"the reconciler does not answer ({why}): read from its database", err=True)
    return found


def _viewed(value: object, kind: type[T]) -> T:
    """Return stored values as the API would have sent them."""
    return msgspec.json.decode(msgspec.json.encode(value), type=kind)


def _listed(
    connection: Connection, search: Callable[[Connection], list[Incident]]
) -> list[ListedIncidentView]:
    """Return stored incidents as the API lists them."""
    found = search(connection)
    standings = read_standings(connection, found, now=clock.now())
    listed = _viewed(found, list[ListedIncidentView])
    for one in listed:
        if one.id in standings:
            one.standing = _viewed(standings[one.id], StandingView)
    return listed


def incident_table(found: Sequence[ListedIncidentView]) -> Table:
    """Return the table; in 80 columns it is narrow, and nothing of it is cut off."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", no_wrap=True)
    for column in ("alert", "target"):
        table.add_column(column, overflow="fold")
    table.add_column(f"opened {offset()}", no_wrap=True)
    table.add_column("state", overflow="fold")
    for one in found:
        cells = (one.id[:8], one.alert, one.target or "-", short(one.opened_at), state_words(one))
        table.add_row(*(Text(plain(cell)) for cell in cells))
    return table


def state_words(incident: ListedIncidentView) -> str:
    """Say how an incident ended, whose it is, or why nothing is done about it now."""
    if incident.closed_at is not None:
        took = (incident.closed_at - incident.opened_at).total_seconds()
        return f"{incident.close_reason} after {took:.1f} s"
    standing = incident.standing
    if standing is None:
        return "with a person" if incident.escalated_at else "open"
    if standing.state == ACKNOWLEDGED and standing.owner:
        return f"{standing.owner.partition(' (token ')[0]}'s"
    words = WORDS.get(standing.state, standing.state.replace("_", " "))
    return f"{words} until {short(standing.until)}" if standing.until else words


@incidents.command()
@id_argument
@output_option
@click.pass_context
def show(context: click.Context, key: str, output: str) -> None:
    """Tell the whole story of one incident; the first letters of its ID are enough.

    Everything that was received, decided, attempted and said about it, with reasons. While the
    reconciler does not answer, its database is read instead.
    """
    story = _answer(
        lambda api: api.story(key),
        lambda connection: _viewed(read_story(connection, key=key), StoryView | None),  # type: ignore[arg-type]
    )
    if story is None:
        click.echo(f"no incident has the id {key}, or several begin so", err=True)
        context.exit(ExitCode.FAILED)
    if output == "json":
        print_json(msgspec.to_builtins(story))
        return
    for line in tell(story):
        click.echo(line)


@incidents.command()
@click.option(
    "--since", default="30d", show_default=True, type=Duration(), help="Of the last so long."
)
@output_option
def times(since: Length, output: str) -> None:
    """Say how long it took to respond (MTTA) and to recover (MTTR), per alert.

    The first response is the first attempt or a person's acknowledgement, whichever was first;
    recovery is when the incident was closed. Both count from when it was opened.
    """
    settings = load_settings()
    now = clock.now()
    try:
        begin = max(now - since.span, EPOCH)
    except OverflowError:
        begin = EPOCH
    # A moment later, so that what was opened just now is in it.
    work = partial(recovery_times, since=begin, until=now + timedelta(seconds=1))

    async def run() -> RecoveryTimes:
        with open_reader(settings.database_url) as reader:
            return await reader.read(work)

    found = asyncio.run(run())
    if output == "json":
        print_json(msgspec.to_builtins(found))
        return
    if not found.alerts:
        click.echo(f"no incidents within {since.typed}")
        return
    out().print(_times_table(found, since.typed))


def _times_table(found: RecoveryTimes, since: str) -> Table:
    table = Table(
        title=f"Recovery times of the last {since}, in seconds: mean, median, p95, worst",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("alert")
    for column in ("incidents", "healed", "escalated", "open"):
        table.add_column(column, justify="right")
    table.add_column("first response (MTTA)", justify="right")
    table.add_column("closed (MTTR)", justify="right")
    for one in found.alerts:
        table.add_row(plain(one.alert), *_cells(one))
    table.add_section()
    table.add_row("all", *_cells(found.total))
    return table


def _cells(one: AlertTimes) -> tuple[str, ...]:
    counts = (one.incidents, one.healed, one.escalated, one.open)
    return (*map(str, counts), _spread(one.first_response), _spread(one.close))


def _spread(spread: Spread) -> str:
    values = (spread.mean_seconds, spread.median_seconds, spread.p95_seconds, spread.worst_seconds)
    return " ".join(f"{value:.1f}" for value in values if value is not None) or "-"
