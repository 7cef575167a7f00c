"""`clean-up`: like the job `clean_up`, but on any host and without the reconciler."""

import click

from trading_ops.backup.disk import size
from trading_ops.cleanup.carry_out import carry_out
from trading_ops.cleanup.rules import leftovers
from trading_ops.cli.console import output_option, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.config.loading import load_settings


@click.command(name="clean-up")
@click.option("--dry-run", is_flag=True, help="Dry run: list what would be removed.")
@output_option
@click.pass_context
def clean_up(context: click.Context, output: str, *, dry_run: bool) -> None:
    """Remove temporary files, old logs and unused caches of this host.

    Works on a full disk and while the reconciler is down.
    """
    settings = load_settings()
    found = leftovers(settings)
    done = None if dry_run else carry_out(settings, found)
    total = sum(leftover.found.bytes for leftover in found)
    if output == "json":
        print_json(
            {
                "found": [
                    {
                        "path": str(leftover.found.path),
                        "bytes": leftover.found.bytes,
                        "kind": leftover.kind,
                        "reason": leftover.reason,
                    }
                    for leftover in found
                ],
                "bytes": total if done is None else done.bytes,
                "failures": [] if done is None else done.failures,
            }
        )
    elif done is None:
        for leftover in found:
            file = leftover.found
            click.echo(f"{size(file.bytes):>9}  {file.path}  ({leftover.kind}: {leftover.reason})")
        click.echo(f"{size(total)} in {len(found)} files and folders would be removed")
    else:
        click.echo(str(done))
    if done is not None and done.failures:
        context.exit(ExitCode.FAILED)
