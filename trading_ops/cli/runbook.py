"""`runbook`: check the runbooks and list them."""

import sys
from importlib.metadata import entry_points

import click

from trading_ops.cli.exit_codes import ExitCode
from trading_ops.config.loading import load_settings

FAULTS_GROUP = "trading_ops.faults"


@click.group()
def runbook() -> None:
    """Check and list the runbooks."""


@runbook.command()
def check() -> None:
    """Check that rules, runbooks, actions, queries and drills are consistent.

    Prints one line per problem, with the file, the key and the fix. Exits with 1 if there is any.
    """
    from trading_ops.reports.runbook_check import check_runbooks  # noqa: PLC0415

    problems, checked = check_runbooks(load_settings(), faults=known_faults())
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        click.echo(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}", err=True)
        sys.exit(ExitCode.FAILED)
    click.echo(f"{checked} runbooks are consistent with their rules, actions, queries and drills")


def known_faults() -> frozenset[str] | None:
    """Return the faults that installed packages can inject, for `drill:` keys; None: no lab."""
    try:
        return frozenset(
            name for entry_point in entry_points(group=FAULTS_GROUP) for name in entry_point.load()
        )
    except ImportError:  # installed, but a dependency is missing
        return None


@runbook.command("list")
def list_runbooks() -> None:
    """List the runbooks with their steps."""
    from trading_ops.reconciler.runbook_index import load_runbooks  # noqa: PLC0415

    for book in load_runbooks(load_settings().runbooks).values():
        steps = " → ".join(step.action for step in book.steps) or "page-only"
        click.echo(f"{book.alert:<32} {steps} (pages after {book.page_after})")
