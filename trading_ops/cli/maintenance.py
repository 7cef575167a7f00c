"""`maintenance`: windows in which the reconciler does not act."""

import click
import msgspec
from rich.table import Table

from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.reconciler_connection import ask, owner_option, reason_option
from trading_ops.cli.timeline import plain
from trading_ops.cli.times import Duration, Length, moment
from trading_ops.clients.reconciler_views import WindowView


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
) -> None:
    """Begin or schedule a window on TARGET."""
    if (target is None) is not fleet:
        raise click.UsageError("name a target, or give --fleet")
    window = ask(
        lambda api: api.begin_window(
            target=target, seconds=length.seconds, begins_at=begins_at, reason=reason, owner=owner
        )
    )
    if output == "json":
        print_json(msgspec.to_builtins(window))
        return
    click.echo(f"window {window.id} on {_on(window)} until {moment(window.ends_at)}")


@maintenance.command()
@click.argument("key", metavar="ID", type=int)
@owner_option
def end(key: int, owner: str) -> None:
    """End the window ID early, or cancel a scheduled one."""
    window = ask(lambda api: api.end_window(key, owner=owner))
    click.echo(f"window {window.id} on {_on(window)} has ended")


@maintenance.command(name="list")
@output_option
def show(output: str) -> None:
    """List open and scheduled windows."""
    found = ask(lambda api: api.windows())
    if output == "json":
        print_json(msgspec.to_builtins(found))
        return
    table = Table()
    for column in ("id", "target", "from", "until", "owner", "reason"):
        table.add_column(column)
    for window in found:
        times = (moment(window.begins_at), moment(window.ends_at))
        table.add_row(
            *map(plain, (str(window.id), _on(window), *times, window.owner, window.reason))
        )
    out().print(table if found else "no maintenance windows")


def _on(window: WindowView) -> str:
    return window.target or "the whole fleet"
