"""`doctor`: check tools, configuration, tokens and every connection of the loop."""

import asyncio
import sys

import click
import msgspec
from rich.console import Console

from trading_ops.cli.checks import print_check, summarize
from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.config.loading import load_settings
from trading_ops.doctor.check import Check
from trading_ops_lab.doctor.examine import examine


@click.command()
@click.option(
    "--no-test-alert", is_flag=True, help="Do not send the test alert, which pages on-call."
)
@output_option
def doctor(*, no_test_alert: bool, output: str) -> None:
    """Find problems of the running stack, and show how to fix them.

    Checks tools and versions, secrets, the configurations, the processes and every connection of
    the loop; then sends a test alert through metric, rule, Alertmanager, reconciler, and
    the on-call mailbox. Exits with 1 when a check fails.
    """
    console = Console(stderr=True, quiet=True) if output == "json" else out()

    async def run() -> list[Check]:
        found = []
        async for check in examine(load_settings(), test_alert=not no_test_alert):
            print_check(console, check)
            found.append(check)
        return found

    found = asyncio.run(run())
    summarize(console, found)
    if output == "json":
        print_json({"checks": msgspec.to_builtins(found)})
    sys.exit(ExitCode.OK if all(check.ok for check in found) else ExitCode.FAILED)
