"""`maintenance`: windows in which the reconciler does not act."""

from datetime import datetime, timedelta

import click
import msgspec
from rich.table import Table

from trading_ops import clock
from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.reconciler_connection import ask, owner_option, reason_option
from trading_ops.cli.timeline import plain
from trading_ops.cli.times import Duration, Length, moment
from trading_ops.clients.reconciler_views import RecurringWindowView, WindowView
from trading_ops.domain.durations import format_duration


@click.group()
def maintenance() -> None:
    """Begin, end and list maintenance windows, in which automation is suppressed."""


@maintenance.command()
@click.argument("target", required=False)
@click.option("--fleet", is_flag=True, help="The whole fleet instead of one target.")
@click.option(
    "--for",
    "length",
    required=True,
    type=Duration("7d"),
    help="How long, for example 30m or 2h; at most 7d.",
)
@click.option(
    "--at",
    "begins_at",
    metavar="TIME",
    help="Start time, for example 2026-03-01T12:00:00Z. Default: now.",
)
@click.option(
    "--every",
    metavar="WHEN",
    help="Recurring: 'Sun 02:00', 'Mon-Fri 06:30', 'day 04:00' or a cron expression.",
)
@click.option("--tz", "zone", metavar="ZONE", help="Time zone of --every. Default: UTC.")
@reason_option
@owner_option
@output_option
def begin(
    target: str | None,
    length: Length,
    begins_at: str | None,
    reason: str,
    owner: str,
    output: str,
    *,
    fleet: bool,
    every: str | None,
    zone: str | None,
) -> None:
    """Begin or schedule a window on TARGET, once or recurring."""
    if (target is None) is not fleet:
        raise click.UsageError("name a target, or give --fleet")
    if every is None and zone is not None:
        raise click.UsageError("--tz needs --every; --at takes a time with its UTC offset")
    if every is not None and begins_at is not None:
        raise click.UsageError("give --at or --every, not both")
    of_both = {"target": target, "reason": reason, "owner": owner}
    order: RecurringWindowView | WindowView
    if every is not None:
        recurs = {"every": every, "zone": zone or "UTC", "seconds": int(length.seconds)}
        order = ask(lambda api: api.recur_window(**of_both, **recurs))
        text = (
            f"recurring window {order.id} on {_on(order)}: {order.every} {order.zone} "
            f"for {length.typed}"
        )
    else:
        once = {"begins_at": begins_at, "seconds": length.seconds}
        order = window = ask(lambda api: api.begin_window(**of_both, **once))
        text = f"window {window.id} on {_on(window)} until {moment(window.ends_at)}"
    if output == "json":
        print_json(msgspec.to_builtins(order))
        return
    click.echo(text)


@maintenance.command()
@click.argument("key", metavar="ID", type=int)
@click.option("--recurring", is_flag=True, help="ID is that of a recurring window.")
@owner_option
def end(key: int, owner: str, *, recurring: bool) -> None:
    """End the window ID early, or cancel a scheduled one.

    A recurring window ends with its open and scheduled windows.
    """
    if recurring:
        order = ask(lambda api: api.end_recurring_window(key, owner=owner))
        click.echo(f"recurring window {order.id} on {_on(order)} has ended")
        return
    window = ask(lambda api: api.end_window(key, owner=owner))
    click.echo(f"window {window.id} on {_on(window)} has ended")


@maintenance.command(name="list")
@output_option
def show(output: str) -> None:
    """List open, scheduled and recurring windows, with the time left."""
    found = ask(lambda api: api.windows())
    if output == "json":
        print_json(msgspec.to_builtins(found))
        return
    table = _table("id", "target", "from", "until", "", "owner", "reason")
    now = clock.now()
    for window in found.maintenance:
        times = (moment(window.begins_at), moment(window.ends_at), _countdown(window, now))
        _add(table, str(window.id), _on(window), *times, window.owner, window.reason)
    out().print(table if found.maintenance else "no maintenance windows")
    if found.recurring:
        table = _table("recurring", "target", "every", "for", "owner", "reason")
        for order in found.recurring:
            length = format_duration(timedelta(seconds=order.seconds))
            every = f"{order.every} {order.zone}"
            _add(table, str(order.id), _on(order), every, length, order.owner, order.reason)
        out().print(table)


@maintenance.command()
@click.argument("target", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@output_option
def history(target: str | None, limit: int, output: str) -> None:
    """Show the newest past windows, of TARGET and the fleet or of all."""
    filters = {"limit": str(limit)} | ({"target": target} if target else {})
    found = ask(lambda api: api.past_windows(**filters))
    if output == "json":
        print_json(msgspec.to_builtins(found))
        return
    table = _table("id", "target", "from", "lasted", "owner", "ended by", "reason")
    for window in found:
        times = (moment(window.begins_at), _rounded(window.ends_at - window.begins_at))
        by = (window.owner, window.ended_by or "")
        _add(table, str(window.id), _on(window), *times, *by, window.reason)
    out().print(table if found else "no past maintenance windows")


def _countdown(window: WindowView, now: datetime) -> str:
    if now < window.begins_at:
        return f"begins in {_rounded(window.begins_at - now)}"
    return f"ends in {_rounded(max(window.ends_at - now, timedelta(0)))}"


def _rounded(length: timedelta) -> str:
    return format_duration(timedelta(seconds=length // timedelta(seconds=1)))


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column)
    return table


def _add(table: Table, *cells: str) -> None:
    table.add_row(*map(plain, cells))


def _on(window: WindowView | RecurringWindowView) -> str:
    return window.target or "the whole fleet"
