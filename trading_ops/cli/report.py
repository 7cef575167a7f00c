"""`report`: reports on a day, a week, a month or a quarter."""

import datetime as dt

import click

from trading_ops.cli.console import print_json
from trading_ops.cli.reconciler_connection import ask, owner_option
from trading_ops.cli.timeline import plain
from trading_ops.clients.reconciler import ReconcilerApi
from trading_ops.clients.reconciler_views import ReportView
from trading_ops.domain.report import Period


@click.command()
@click.argument("period", type=click.Choice([period.value for period in Period]))
@click.option(
    "--date",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="A day of the period. Default: today; for longer periods, yesterday.",
)
@click.option(
    "--span",
    nargs=2,
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z"]),
    metavar="SINCE UNTIL",
    help="Exactly this time, instead of a day's period: 2026-03-02T21:30Z 2026-03-03T21:30Z.",
)
@click.option("--send", is_flag=True, help="Also send it, by the routes of notify.yml.")
@click.option(
    "--output", type=click.Choice(["text", "html", "json"]), default="text", show_default=True
)
@owner_option
def report(
    *,
    period: str,
    day: dt.datetime | None,
    span: tuple[dt.datetime, dt.datetime] | None,
    output: str,
    owner: str,
    send: bool,
) -> None:
    """Report on a PERIOD: PnL, limits, incidents, open items, error budgets, disks.

    A value without data is shown as missing, never as 0.
    """
    if day is not None and span is not None:
        raise click.UsageError("--date cannot be combined with --span")
    which = {} if day is None else {"date": day.date().isoformat()}
    if span is not None:
        which = {"since": span[0].isoformat(), "until": span[1].isoformat()}

    async def read(api: ReconcilerApi) -> tuple[ReportView, list[str]]:
        shown = await api.report(period, **which)
        return shown, await api.send_report(period, owner=owner, **which) if send else []

    shown, channels = ask(read)
    if output == "json":
        print_json(shown.report)
    elif output == "html":
        click.echo(shown.html)
    else:
        for line in shown.text.splitlines():
            click.echo(plain(line))
    if send:
        to = f"sent to {', '.join(channels)}" if channels else "not sent: its channels have it"
        click.echo(to, err=True)
