"""The commands that the lab adds to `trading-ops`: run everything on one machine, and break it."""

from collections.abc import Mapping

from trading_ops.cli.commands import CommandEntry


def _entry(module: str, attribute: str, text: str) -> CommandEntry:
    return CommandEntry(f"trading_ops_lab.cli.{module}", attribute, text, needs="aiosmtpd")


COMMANDS: Mapping[str, CommandEntry] = {
    "up": _entry("up", "up", "Start the local stack and run it until Ctrl-C."),
    "down": _entry("down", "down", "Stop the local stack."),
    "status": _entry("status", "status", "Show the processes of the local stack."),
    "doctor": _entry("doctor", "doctor", "Check tools, configuration and every connection."),
    "drill": _entry("drill", "drill", "Inject one fault and time the recovery."),
    "gameday": _entry("drill", "gameday", "Run all drills and print the results."),
    "training": _entry("training", "training", "Diagnose an unnamed fault, with a grade."),
    "restart": _entry(
        "restart", "restart", "Restart a bot gracefully and wait until it is healthy."
    ),
    "update": _entry("update", "update", "Deploy a release; roll back if it is unhealthy."),
}
