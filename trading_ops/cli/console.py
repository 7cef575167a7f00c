"""The terminals that the commands write to, and the shared `--output` option."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.console import Console

Command = TypeVar("Command", bound=Callable[..., Any])

WIDTH_OF_A_FILE = 160
"""Width for output that is not a terminal: each table row stays on one line."""


def _not_empty(_context: click.Context, _argument: click.Parameter, key: str) -> str:
    if not key.strip():
        raise click.BadParameter("it is empty: give at least the first letters")
    return key


id_argument = click.argument("key", metavar="ID", callback=_not_empty)
"""Argument `ID`, passed as `key`: the first letters are enough; empty is an error."""


def out() -> Console:
    """Return the console on standard output; colors only on a terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        return Console(highlight=False, width=WIDTH_OF_A_FILE)
    return console


def output_option(function: Command) -> Command:
    """Add `--output table|json`, passed to the command as `output`."""
    option = click.option(
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="json: one machine-readable object on standard output.",
    )
    return option(function)


def selection_options(function: Command) -> Command:
    """Add `--team` and `--host`, passed to the command as `team` and `host`."""
    name = SelectionName()
    team = click.option("--team", type=name, help="Only targets with this label `team`.")
    host = click.option("--host", type=name, help="Only targets on this host.")
    return team(host(function))


class SelectionName(click.ParamType):  # type: ignore[type-arg]  # generic only in newer ones
    """A name that is not empty, as `--team "$TEAM"` is if the variable is not set."""

    name = "name"

    def convert(
        self, value: str, param: click.Parameter | None, context: click.Context | None
    ) -> str:
        """Return the name.

        Raises:
            click.BadParameter: it is empty, which would mean the targets without a team.
        """
        if not value.strip():
            self.fail("it is empty: write a name, or leave the option out", param, context)
        return value


def print_json(value: object) -> None:
    """Print one JSON object on standard output."""
    click.echo(json.dumps(value, indent=2, default=str))
