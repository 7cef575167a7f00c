"""`bot-events`: trades, orders, signals and risk decisions that the bots reported."""

import asyncio
from datetime import timedelta

import click
import msgspec
from rich.table import Table

from trading_ops import clock
from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.following import follow
from trading_ops.cli.reconciler_connection import ask
from trading_ops.cli.timeline import plain
from trading_ops.cli.times import Duration, Length, moment
from trading_ops.clients.reconciler_views import BotEventCountView, BotEventView
from trading_ops.domain.bot_event import BotEventKind
from trading_ops.domain.message import Severity


@click.command()
@click.option("--bot", metavar="NAME", help="Only events of this bot.")
@click.option("--kind", type=click.Choice([kind.value for kind in BotEventKind]))
@click.option("--severity", type=click.Choice([severity.value for severity in Severity]))
@click.option("--strategy", metavar="NAME", help="Only events of this strategy.")
@click.option("--symbol", metavar="NAME", help="Only events about this symbol.")
@click.option("--order", "order_id", metavar="ID", help="Only events about this order.")
@click.option("--correlation", metavar="ID", help="Only events with this correlation id.")
@click.option(
    "--since",
    default="1d",
    show_default=True,
    type=Duration(),
    help="Period to show, for example 6h.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--follow", "-f", "following", is_flag=True, help="Stream new events until Ctrl-C.")
@click.option("--summary", is_flag=True, help="Count events by bot, kind and severity.")
@output_option
def bot_events(
    *,
    since: Length,
    limit: int,
    following: bool,
    summary: bool,
    order_id: str | None,
    output: str,
    **filters: str | None,
) -> None:
    """Show events that the bots reported, newest first.

    With --follow oldest first, then each new one as it is stored; with --output json one object
    per line.
    """
    begin = clock.now() - min(since.span, timedelta(days=36_500))
    given = {name: value for name, value in filters.items() if value is not None}
    given |= {"since": begin.isoformat()}
    if order_id is not None:
        given["order"] = order_id
    if summary and following:
        raise click.UsageError("--summary cannot be combined with --follow")
    if summary:
        counts = ask(lambda api: api.bot_event_counts(**given))
        _print(counts, _counts_table(counts), output)
        return
    found = ask(lambda api: api.bot_events(limit=str(limit), **given))
    if not following:
        _print(found.events, _table(found.events), output)
        return
    del given["since"]
    for event in reversed(found.events):
        _show(event, output)
    asyncio.run(
        follow(
            lambda api, after: api.follow_bot_events(after, **given),
            found.head,
            lambda event: _show(event, output),
        )
    )


def _show(event: BotEventView, output: str) -> None:
    if output == "json":
        click.echo(msgspec.json.encode(event).decode())
        return
    cells = (moment(event.at), event.bot, event.kind, event.severity, event.strategy, event.summary)
    click.echo(plain("  ".join(filter(None, cells))))


def _print(found: object, table: Table, output: str) -> None:
    if output == "json":
        print_json(msgspec.to_builtins(found))
    else:
        out().print(table if found else "no events")


def _table(found: list[BotEventView]) -> Table:
    table = Table()
    for column in ("time", "bot", "kind", "severity", "strategy", "summary"):
        table.add_column(column)
    for event in found:
        cells = (
            moment(event.at),
            event.bot,
            event.kind,
            event.severity,
            event.strategy,
            event.summary,
        )
        table.add_row(*map(plain, cells))
    return table


def _counts_table(counts: list[BotEventCountView]) -> Table:
    table = Table()
    for column in ("bot", "kind", "severity", "count", "latest"):
        table.add_column(column)
    for count in counts:
        cells = (count.bot, count.kind, count.severity, str(count.count), moment(count.latest))
        table.add_row(*map(plain, cells))
    return table
