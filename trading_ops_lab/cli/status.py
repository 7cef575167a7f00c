"""`trading-ops status`: the processes of the local stack."""

import click

from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.errors import TradingOpsError


@click.command()
@click.option("--memory", is_flag=True, help="Show each process's resident memory as well.")
@output_option
@click.pass_context
def status(context: click.Context, output: str, *, memory: bool) -> None:
    """Show the processes of the local stack, the state of automation, and holds.

    Exit code 0 when all are ready, 1 when one is not, 3 when nothing runs.
    """
    from trading_ops.cli.automation import automation_state  # noqa: PLC0415
    from trading_ops.cli.local_stack import address_file  # noqa: PLC0415
    from trading_ops.config.loading import load_settings  # noqa: PLC0415
    from trading_ops_lab.cli.process_table import table  # noqa: PLC0415
    from trading_ops_lab.supervisor.client import SupervisorClient  # noqa: PLC0415

    settings = load_settings()
    overview = SupervisorClient(settings).overview()
    try:
        first, *ordered = automation_state()
    except TradingOpsError as error:
        first, ordered = f"automation: unknown ({error})", []
    overview["automation"], overview["ordered"] = first, ordered
    if memory:
        from trading_ops_lab.cli.memory import add_memory  # noqa: PLC0415

        address = address_file(settings.var).read_text(encoding="ascii").strip()
        add_memory(overview, address=address, log=settings.logs / "supervisor.log")
    if output == "json":
        print_json(overview)
    else:
        out().print(table(overview))
        for line in (overview["automation"], *overview["ordered"]):
            click.echo(line)
    if any(process["state"] != "ready" for process in overview["processes"]):
        context.exit(ExitCode.FAILED)
