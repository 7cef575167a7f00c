"""Output of checks, for `config check` and `doctor`."""

from collections.abc import Iterable

import click
import msgspec
from rich.console import Console

from trading_ops.cli.console import out, print_json
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.doctor.check import Check


def show(checks: Iterable[Check], output: str, *, failed: ExitCode = ExitCode.FAILED) -> None:
    """Print each check as it runs, then the count; exit with `failed` if any failed."""
    console = Console(stderr=True, quiet=True) if output == "json" else out()
    found = []
    for check in checks:
        print_check(console, check)
        found.append(check)
    summarize(console, found)
    if output == "json":
        print_json({"checks": msgspec.to_builtins(found)})
    if any(not check.ok for check in found):
        click.get_current_context().exit(failed)


def print_check(console: Console, check: Check) -> None:
    """Print one check, and its fix."""
    mark = "[green]ok   [/]" if check.ok else "[red]FAIL [/]"
    if check.warning:
        mark = "[bold yellow]WARN [/]"
    console.print(f"{mark} {check.name:<34} ", end="")
    console.print(check.detail, markup=False)
    if check.fix:
        console.print(f"      Fix: {check.fix}", markup=False)


def summarize(console: Console, found: list[Check]) -> None:
    """Print the number of failures and warnings."""
    bad = sum(not check.ok for check in found)
    warnings = sum(check.warning for check in found)
    console.print(f"{bad} of {len(found)} checks failed" if bad else "all checks passed")
    if warnings:
        console.print(f"[bold yellow]{warnings} warning{'s' if warnings > 1 else ''}, see above[/]")
