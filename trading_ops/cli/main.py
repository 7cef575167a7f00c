"""`trading-ops`: the group of all commands, and the only place where errors become sentences."""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from trading_ops import __version__
from trading_ops.cli.exit_codes import ExitCode

PROGRAM = "trading-ops"


@dataclass(frozen=True)
class Entry:
    """Where a command is found, and its line in the help, known without importing it."""

    module: str
    attribute: str
    help: str


def _entry(module: str, attribute: str, text: str) -> Entry:
    return Entry(f"trading_ops.cli.{module}", attribute, text)


COMMANDS: Mapping[str, Entry] = {
    "up": _entry("up", "up", "Start the local stack and run it until Ctrl-C."),
    "down": _entry("down", "down", "Stop the local stack."),
    "status": _entry("status", "status", "Show the processes of the local stack."),
    "doctor": _entry("doctor", "doctor", "Check tools, configuration and every connection."),
    "drill": _entry("drill", "drill", "Inject one fault and time the recovery."),
    "gameday": _entry("drill", "gameday", "Run all drills and print the results."),
    "incidents": _entry("incidents", "incidents", "List incidents, or show one timeline."),
    "audit": _entry("audit", "audit", "Verify and anchor the audit log."),
    "automation": _entry("automation", "automation", "Show, pause and resume auto-remediation."),
    "halt": _entry("halt", "halt", "Halt trading of one bot or of all bots."),
    "reduce": _entry("halt", "reduce", "Put a bot in reduce-only mode."),
    "resume": _entry("halt", "resume", "Release a bot's holds so that it trades again."),
    "restart": _entry(
        "restart", "restart", "Restart a bot gracefully and wait until it is healthy."
    ),
    "update": _entry("update", "update", "Deploy a release; roll back if it is unhealthy."),
    "ack": _entry(
        "acknowledge", "acknowledge", "Acknowledge an incident: pages and automation stop."
    ),
    "unack": _entry("acknowledge", "withdraw", "Remove an acknowledgement."),
    "snooze": _entry("acknowledge", "snooze", "Snooze an incident."),
    "run": _entry("by_hand", "run", "Run an action manually, through the same gates."),
    "approvals": _entry("by_hand", "approvals", "List actions that wait for approval."),
    "approve": _entry("by_hand", "approve", "Approve another operator's action."),
    "deny": _entry("by_hand", "deny", "Deny an action, or withdraw your own request."),
    "maintenance": _entry("maintenance", "maintenance", "Begin, end and list maintenance windows."),
    "events": _entry("events", "events", "Show past events, or follow new ones."),
    "token": _entry("token", "token", "Add, list and revoke API tokens."),
    "runbook": _entry("runbook", "runbook", "Check the runbooks."),
    "migrate": _entry("migrate", "migrate", "Upgrade the database schema."),
    "export": _entry("export", "export", "Serve metrics of the host, processes and venues."),
    "node": _entry("node", "node", "Run the executor for the services of this host."),
    "completion": _entry("completion", "completion", "Print the completion script for a shell."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """Return the names of the commands whose modules are installed."""
        return [name for name, entry in COMMANDS.items() if _installed(entry.module)]

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Import and return a command, or None when there is none of this name."""
        entry = COMMANDS.get(name)
        if entry is None or not _installed(entry.module):
            return None
        command = getattr(importlib.import_module(entry.module), entry.attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.module}.{entry.attribute} is no command")
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' lines without importing their modules."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, COMMANDS[name].help) for name in self.list_commands(context)]
            )


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


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

    Start with `trading-ops up` in one terminal and `trading-ops drill ALERT` in another. The
    project's folder is the working directory, or TRADING_OPS_ROOT; everything written goes to its
    var/.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; an error is one sentence on standard error."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    try:
        result = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name=PROGRAM,
            standalone_mode=False,
        )
    except click.exceptions.Exit as asked:
        return asked.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # `trading-ops status | head`
        return ExitCode.OK
    except Exception as error:  # noqa: BLE001 - no traceback ever reaches a user
        return _explain(error)
    # Outside standalone mode click returns the code of a context.exit() instead of raising.
    return result if isinstance(result, int) else ExitCode.OK


def _explain(error: Exception) -> int:
    from trading_ops.errors import ConfigError, SetupError, TradingOpsError  # noqa: PLC0415

    if isinstance(error, TradingOpsError):
        click.echo(f"Error: {error}", err=True)
        if type(error).__name__ == "NotRunning":
            return ExitCode.NOT_RUNNING
        return ExitCode.SETUP if isinstance(error, ConfigError | SetupError) else ExitCode.FAILED
    place = _write_traceback(error)
    click.echo(
        f"Error: something unexpected went wrong ({type(error).__name__}: {error}); {place}",
        err=True,
    )
    return ExitCode.UNEXPECTED


def _write_traceback(error: Exception) -> str:
    """Keep the traceback for whoever mends it, and say where."""
    from trading_ops.settings import load_settings  # noqa: PLC0415

    text = "".join(traceback.format_exception(error))
    try:
        path: Path = load_settings().logs / "cli.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except Exception:  # noqa: BLE001 - the reason for the first error is what matters
        return "its details could not be written to a log"
    return f"the details are in {path}"


if __name__ == "__main__":
    main()
