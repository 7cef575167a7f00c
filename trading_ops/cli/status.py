"""`trading-ops status`: what runs here."""

import click

from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.exit_codes import ExitCode


@click.command()
@output_option
@click.pass_context
def status(context: click.Context, output: str) -> None:
    """Show the processes of the system that runs here.

    Exit code 0 when all are ready, 1 when one is not, 3 when nothing runs.
    """
    from trading_ops.cli.process_table import table  # noqa: PLC0415
    from trading_ops.settings import load_settings  # noqa: PLC0415
    from trading_ops.stack.client import SupervisorClient  # noqa: PLC0415
    from trading_ops.targets import load_targets  # noqa: PLC0415

    settings = load_settings()
    overview = SupervisorClient(settings, load_targets(settings.targets_file)).overview()
    if output == "json":
        print_json(overview)
    else:
        out().print(table(overview))
    if any(process["state"] != "ready" for process in overview["processes"]):
        context.exit(ExitCode.FAILED)
