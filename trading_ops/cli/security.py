"""`security`: packages, secrets and certificates of this host."""

import click
import msgspec

from trading_ops.cli.console import output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.reconciler_connection import command_settings
from trading_ops.cli.timeline import plain
from trading_ops.security.report import look
from trading_ops.security.tools import NOT_CHECKED


@click.command()
@click.option(
    "--require-all",
    is_flag=True,
    help="Also exit with 1 if something could not be checked, such as without a network.",
)
@output_option
@click.pass_context
def security(context: click.Context, output: str, *, require_all: bool) -> None:
    """Check packages, secret files and certificates of this host.

    Reports vulnerable and outdated packages, secrets that other users can open or that were copied
    into other files, and certificates that expire within 30 days. Exits with 1 if something cannot
    wait.
    """
    found = list(look(command_settings()))
    if output == "json":
        print_json(msgspec.to_builtins(found))
    else:
        for finding in found:
            click.echo(f"{'!' if finding.fails else '-'} {plain(finding.text)}")
        if not found:
            click.echo("no findings")
    missing = [finding.topic for finding in found if finding.subject == NOT_CHECKED]
    if require_all and missing:
        click.echo(f"not checked: {', '.join(missing)}", err=True)
    if any(finding.fails for finding in found) or (require_all and missing):
        context.exit(ExitCode.FAILED)
