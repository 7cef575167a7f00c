"""`audit compliance`: who did what, approvals, restore tests and objectives of a period."""

import asyncio
import datetime as dt

import click
import msgspec

from trading_ops import clock
from trading_ops.cli.console import output_option, print_json
from trading_ops.cli.timeline import plain
from trading_ops.clients.http import session_of
from trading_ops.clients.monitoring import Monitoring
from trading_ops.clients.prometheus import Prometheus
from trading_ops.config.loading import load_settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import BOTS
from trading_ops.reports.compliance import Compliance, lines_of, make_compliance
from trading_ops.store.reader import open_reader

DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option(
    "--from", "first", required=True, type=DAY, metavar="YYYY-MM-DD", help="First day, in UTC."
)
@click.option(
    "--to", "last", type=DAY, metavar="YYYY-MM-DD", help="Last day, in UTC. Default: today."
)
@output_option
def compliance(first: dt.datetime, last: dt.datetime | None, output: str) -> None:
    """Report who did what, approvals, restore tests and SLOs of each month.

    Reads the database and Prometheus; the reconciler need not run. A dash means not measured.
    Verify the same period with `audit verify` and hand the events over with `audit export`.
    """
    now = clock.now()
    since = first.replace(tzinfo=dt.UTC)
    end = now if last is None else last.replace(tzinfo=dt.UTC) + dt.timedelta(days=1)
    until = min(end, now)
    if until <= since:
        raise click.UsageError("--to must not be before --from, and --from not in the future")
    report = asyncio.run(_make(since, until))
    if output == "json":
        print_json(msgspec.to_builtins(report))
        return
    for line in lines_of(report):
        click.echo(plain(line))


async def _make(since: dt.datetime, until: dt.datetime) -> Compliance:
    settings = load_settings()
    registry = load_targets(settings.targets_file)
    async with session_of(settings) as session:
        monitoring = Monitoring(session, settings, registry)
        with open_reader(settings.database_url) as reader:
            return await make_compliance(
                Prometheus(monitoring.reports_prometheus()),
                reader,
                bots=sorted(target.name for target in registry if target.kind in BOTS),
                since=since,
                until=until,
            )
