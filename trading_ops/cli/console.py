"""The terminals that the commands write to, and the shared `--output` option."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.console import Console

Command = TypeVar("Command", bound=Callable[..., Any])

WIDTH_OF_A_FILE = 160
"""Output that is not a terminal has no width; a table's line should still be one line."""


def _not_empty(_context: click.Context, _argument: click.Parameter, key: str) -> str:
    if not key.strip():
        raise click.BadParameter("it is empty: give its first letters at least")
    return key


id_argument = click.argument("key", metavar="ID", callback=_not_empty)
"""`ID`, which gives `key`: the first letters will do, and none at all is a slip."""


def out() -> Console:
    """Return the console on standard output; colours only where it is a terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        return Console(highlight=False, width=WIDTH_OF_A_FILE)
    return console


def output_option(function: Command) -> Command:
    """Add `--output table|json`, which gives `output` to the command."""
    option = click.option(
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="json: one machine-readable object on standard output.",
    )
    return option(function)


def print_json(value: object) -> None:
    """Print one JSON object on standard output."""
    click.echo(json.dumps(value, indent=2, default=str))
