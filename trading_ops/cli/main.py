"""`trading-ops`: the command group, and the only place that prints errors."""

import importlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from trading_ops import __version__
from trading_ops.cli.commands import COMMANDS, CommandEntry, added, find
from trading_ops.cli.exit_codes import ExitCode

PROGRAM = "trading-ops"


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """Return the names of the commands whose modules are installed."""
        return [*_installed(COMMANDS), *_installed(added())]

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Import and return a command, or None if there is no such command."""
        entry = find(name)
        if entry is None:
            return None
        command = getattr(importlib.import_module(entry.module), entry.attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.module}.{entry.attribute} is not a click command")
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing their modules."""
        for title, commands in (("Commands", COMMANDS), ("Lab commands", added())):
            if lines := [(name, entry.help) for name, entry in _installed(commands).items()]:
                with formatter.section(title):
                    formatter.write_dl(lines)


def _installed(commands: Mapping[str, CommandEntry]) -> Mapping[str, CommandEntry]:
    return {name: entry for name, entry in commands.items() if entry.is_installed}


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: "
    + ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in ExitCode)
    + ".",
)
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """Monitoring, alerting and verified auto-remediation for trading bots.

    To try it, run `trading-ops up` in one terminal and `trading-ops drill ALERT` in another. The
    project folder is the working directory, or TRADING_OPS_ROOT; all data goes to its var/.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; errors are one line on standard error."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    try:
        result = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name=PROGRAM,
            standalone_mode=False,
        )
    except click.exceptions.Exit as requested:
        return requested.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # `trading-ops status | head`
        return ExitCode.OK
    except Exception as error:  # noqa: BLE001 - never show a traceback to a user
        return _explain(error)
    # Outside standalone mode click returns the code of a context.exit() instead of raising.
    return result if isinstance(result, int) else ExitCode.OK


def _explain(error: Exception) -> int:
    from trading_ops.errors import (  # noqa: PLC0415
        ConfigError,
        NoServices,
        NotRunning,
        SetupError,
        TradingOpsError,
    )

    if isinstance(error, TradingOpsError):
        click.echo(f"Error: {error}", err=True)
        if isinstance(error, NotRunning):
            return ExitCode.NOT_RUNNING
        if isinstance(error, NoServices):
            return ExitCode.NO_SERVICES
        return ExitCode.SETUP if isinstance(error, ConfigError | SetupError) else ExitCode.FAILED
    place = _write_traceback(error)
    click.echo(
        f"Error: unexpected error ({type(error).__name__}: {error}); {place}",
        err=True,
    )
    return ExitCode.UNEXPECTED


def _write_traceback(error: Exception) -> str:
    """Write the traceback to a file for debugging; return where it is."""
    from trading_ops.config.loading import load_settings  # noqa: PLC0415

    text = "".join(traceback.format_exception(error))
    try:
        path: Path = load_settings().logs / "cli.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except Exception:  # noqa: BLE001 - report the first error, not this one
        return "the traceback could not be written"
    return f"see the traceback in {path}"


if __name__ == "__main__":
    main()
