"""`trading-ops status`: show the registered processes and whether they answer."""

import asyncio

import click

from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.errors import TradingOpsError


@click.command()
@output_option
@click.pass_context
def status(context: click.Context, output: str) -> None:
    """Show every registered process, the state of automation, and holds.

    Exits with 0 when all answer, 1 when one does not, 3 when no reconciler answers.
    """
    from rich.table import Table  # noqa: PLC0415

    from trading_ops.cli.automation import automation_state  # noqa: PLC0415
    from trading_ops.config.settings import load_settings  # noqa: PLC0415
    from trading_ops.config.targets import load_targets  # noqa: PLC0415
    from trading_ops.doctor.connections import states  # noqa: PLC0415
    from trading_ops.domain.target import Kind  # noqa: PLC0415

    settings = load_settings()
    found = asyncio.run(states(settings, load_targets(settings.targets_file)))
    alive = any(good for target, _, good in found if target.kind is Kind.RECONCILER)
    try:
        lines = list(automation_state()) if alive else ["automation: no reconciler answers"]
    except TradingOpsError as error:
        lines = [f"automation: unknown ({error})"]
    if output == "json":
        shown = [
            {"name": one.name, "kind": one.kind, "address": one.address, "state": said, "ok": good}
            for one, said, good in found
        ]
        print_json({"targets": shown, "automation": lines})
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("target", "kind", "address", "state"):
            table.add_column(column, overflow="fold")
        for one, said, _ in found:
            table.add_row(one.name, one.kind, one.address, said)
        out().print(table)
        for line in lines:
            click.echo(line)
    if not alive:
        context.exit(ExitCode.NOT_RUNNING)
    if not all(good for _, _, good in found):
        context.exit(ExitCode.FAILED)
