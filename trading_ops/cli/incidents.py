"""`incidents`: list incidents, show a timeline, MTTA and MTTR, and draft a post-mortem."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec
from rich import box
from rich.table import Table
from rich.text import Text

from trading_ops import clock
from trading_ops.cli.console import id_argument, out, output_option, print_json, selection_options
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.local_stack import holder, not_running
from trading_ops.cli.reconciler_connection import command_settings, connected
from trading_ops.cli.timeline import plain, tell
from trading_ops.cli.times import Duration, Length, offset, short
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.clients.reconciler_views import ListedIncidentView, TimelineView
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.acknowledgement import ACKNOWLEDGED, NEW
from trading_ops.domain.target import Selection
from trading_ops.errors import ConfigError, StackError, StoreError, Unreachable

if TYPE_CHECKING:  # SQLAlchemy takes longer to import than the API to answer
    from trading_ops.reports.recovery_times import AlertTimes, RecoveryTimes, Spread

T = TypeVar("T")

WORDS = {
    NEW: "open",
    "attempt_succeeded": "recovering",
    "page_only": "page-only",
    "people_only": "page-only",  # as stored before the reason was renamed
    "step_due": "recovering",
    "with_a_person": "escalated",  # likewise
}
"""Display names of states; the others are shown as they are."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@click.group(invoke_without_command=True)
@click.option("--open", "only_open", is_flag=True, help="Only open incidents.")
@click.option("--target", metavar="NAME", help="Only incidents of this target.")
@selection_options
@click.option("--alert", metavar="NAME", help="Only incidents of this alert.")
@click.option("--limit", default=20, show_default=True, help="Maximum number of results.")
@output_option
@click.pass_context
def incidents(
    context: click.Context,
    *,
    only_open: bool,
    target: str | None,
    team: str | None,
    host: str | None,
    alert: str | None,
    limit: int,
    output: str,
) -> None:
    """List incidents, newest first; `incidents show ID` shows the timeline of one.

    Falls back to the database when the reconciler does not answer.
    """
    if context.invoked_subcommand is not None:
        return
    given = {
        "open": "true" if only_open else None,
        "target": target,
        "team": team,
        "host": host,
        "alertname": alert,
        "limit": str(limit),
    }
    filters = {key: value for key, value in given.items() if value is not None}

    async def read(settings: Settings) -> list[ListedIncidentView]:
        from trading_ops.cli.incidents_stored import listed  # noqa: PLC0415

        return await listed(
            settings,
            only_open=only_open,
            target=target,
            selection=Selection(team=team, host=host),
            alert=alert,
            limit=limit,
        )

    found = _answer(lambda api: api.incidents(**filters), read)
    if output == "json":
        print_json(msgspec.to_builtins(found))
        return
    out().print(incident_table(found) if found else "no incidents")


def _answer(
    ask: Callable[[ReconcilerApi], Awaitable[T]], read: Callable[[Settings], Awaitable[T]]
) -> T:
    """Return the reconciler's answer, or read its database; print which."""
    settings = command_settings()

    async def run() -> T:
        try:
            async with connected(settings, load_targets(settings.targets_file)) as api:
                return await ask(api)
        except (Unreachable, StackError, ConfigError) as error:
            with contextlib.suppress(StoreError):
                found = await read(settings)
                why = f"the reconciler does not answer ({error}): reading its database"
                click.echo(why, err=True)
                return found
            if isinstance(error, ConfigError) and holder(settings.var) is None:
                raise not_running(settings) from error
            raise

    return asyncio.run(run())


def incident_table(found: Sequence[ListedIncidentView]) -> Table:
    """Return the table; fits 80 columns without truncation."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", no_wrap=True)
    for column in ("alert", "target"):
        table.add_column(column, overflow="fold")
    table.add_column(f"opened {offset()}", no_wrap=True)
    table.add_column("state", overflow="fold")
    for incident in found:
        cells = (
            incident.id[:8],
            incident.alert,
            incident.target or "-",
            short(incident.opened_at),
            state_words(incident),
        )
        table.add_row(*(Text(plain(cell)) for cell in cells))
    return table


def state_words(incident: ListedIncidentView) -> str:
    """Return how an incident ended, who acknowledged it, or why automation waits."""
    if incident.closed_at is not None:
        took = (incident.closed_at - incident.opened_at).total_seconds()
        return f"{incident.close_reason} after {took:.1f} s"
    status = incident.status
    if status is None:
        return "escalated" if incident.escalated_at else "open"
    if status.state == ACKNOWLEDGED and status.owner:
        return f"{status.owner.partition(' (token ')[0]}'s"
    text = WORDS.get(status.state, status.state.replace("_", " "))
    return f"{text} until {short(status.until)}" if status.until else text


def _timeline(context: click.Context, key: str) -> TimelineView:
    """Return one incident with its timeline, or fail."""

    async def read(settings: Settings) -> TimelineView | None:
        from trading_ops.cli.incidents_stored import timeline  # noqa: PLC0415

        return await timeline(settings, key)

    found = _answer(lambda api: api.timeline(key), read)
    if found is None:
        click.echo(f"no incident matches {key}, or the prefix is ambiguous", err=True)
        context.exit(ExitCode.FAILED)
    return found


@incidents.command("post-mortem")
@id_argument
@click.pass_context
def post_mortem(context: click.Context, key: str) -> None:
    """Print a draft post-mortem of one incident, in Markdown.

    It contains times, actions with their outcomes, and the timeline. Impact, root cause and action
    items are left for you to write.
    """
    from trading_ops.reports.post_mortem import draft  # noqa: PLC0415 - used by this command only

    click.echo(draft(_timeline(context, key)), nl=False)


@incidents.command()
@id_argument
@output_option
@click.pass_context
def show(context: click.Context, key: str, output: str) -> None:
    """Show the timeline of one incident; the first letters of its ID are enough.

    Everything that was received, decided and attempted, with reasons. Falls back to the database
    when the reconciler does not answer.
    """
    timeline = _timeline(context, key)
    if output == "json":
        print_json(msgspec.to_builtins(timeline))
        return
    for line in tell(timeline):
        click.echo(line)


@incidents.command()
@click.option(
    "--since",
    default="30d",
    show_default=True,
    type=Duration(),
    help="Period to cover, for example 7d.",
)
@output_option
def stats(since: Length, output: str) -> None:
    """Show how long it took to respond (MTTA) and to recover (MTTR), per alert.

    The first response is the first attempt or acknowledgement, whichever came first;
    recovery is when the incident was closed. Both count from when it was opened.
    """
    from trading_ops.cli.incidents_stored import recovery  # noqa: PLC0415

    settings = load_settings()
    now = clock.now()
    try:
        begin = max(now - since.span, EPOCH)
    except OverflowError:
        begin = EPOCH
    # A moment later, so that incidents opened just now are included.
    found = asyncio.run(recovery(settings, since=begin, until=now + timedelta(seconds=1)))
    if output == "json":
        print_json(msgspec.to_builtins(found))
        return
    if not found.alerts:
        click.echo(f"no incidents in the last {since.typed}")
        return
    out().print(_times_table(found, since.typed))


def _times_table(found: "RecoveryTimes", since: str) -> Table:
    table = Table(
        title=f"Recovery times of the last {since}, in seconds: mean, p50, p95, max",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("alert")
    for column in ("incidents", "remediated", "escalated", "open"):
        table.add_column(column, justify="right")
    table.add_column("first response (MTTA)", justify="right")
    table.add_column("closed (MTTR)", justify="right")
    for alert in found.alerts:
        table.add_row(plain(alert.alert), *_cells(alert))
    table.add_section()
    table.add_row("all", *_cells(found.total))
    return table


def _cells(times: "AlertTimes") -> tuple[str, ...]:
    counts = (times.incidents, times.remediated, times.escalated, times.open)
    return (*map(str, counts), _spread(times.first_response), _spread(times.close))


def _spread(spread: "Spread") -> str:
    values = (spread.mean_seconds, spread.median_seconds, spread.p95_seconds, spread.worst_seconds)
    return " ".join(f"{value:.1f}" for value in values if value is not None) or "-"
