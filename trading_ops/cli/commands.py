"""The product's commands: name and help line, without importing their modules.

Another package adds its own through the entry point group `trading_ops.commands`: each entry point
names a mapping of the same kind.
"""

import functools
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points

ADDED_BY = "trading_ops.commands"
OF_LOCAL_STACK = frozenset({"status", "doctor", "restart"})
"""Commands with another implementation in the lab, for a local stack."""

SUPERVISOR = re.compile(r"kind:\s*[\"']?supervisor\b")


@dataclass(frozen=True)
class CommandEntry:
    """Where to import a command from, and its help line."""

    module: str
    attribute: str
    help: str
    needs: str = ""
    """A library that the command needs, from an extra that may not be installed."""

    @property
    def is_installed(self) -> bool:
        """Return whether the module can be imported, without importing it."""
        needed = (self.module, self.needs) if self.needs else (self.module,)
        try:
            return all(importlib.util.find_spec(module) is not None for module in needed)
        except ModuleNotFoundError:  # a parent package is missing
            return False


def _entry(module: str, attribute: str, text: str) -> CommandEntry:
    return CommandEntry(f"trading_ops.cli.{module}", attribute, text)


COMMANDS: Mapping[str, CommandEntry] = {
    "init": _entry("init", "init", "Write or update a project folder."),
    "config": _entry("config", "config", "Check and show the configuration."),
    "status": _entry("status", "status", "Show what is registered and whether it answers."),
    "doctor": _entry("doctor", "doctor", "Check the installation, and show how to fix it."),
    "restart": _entry("restart", "restart", "Restart a bot through its service manager."),
    "tls": CommandEntry(
        "trading_ops.cli.tls", "tls", "Create, renew and list certificates.", needs="cryptography"
    ),
    "incidents": _entry("incidents", "incidents", "List incidents, or show one timeline."),
    "security": _entry("security", "security", "Check packages, secret files and certificates."),
    "audit": _entry("audit", "audit", "Verify and export the audit log."),
    "automation": _entry("automation", "automation", "Show, pause and resume auto-remediation."),
    "halt": _entry("halt", "halt", "Halt trading of one bot or of all bots."),
    "reduce-only": _entry("halt", "reduce", "Put a bot in reduce-only mode."),
    "resume": _entry("halt", "resume", "Release a bot's holds so that it trades again."),
    "ack": _entry(
        "acknowledge", "acknowledge", "Acknowledge an incident: pages and automation stop."
    ),
    "unack": _entry("acknowledge", "unack", "Remove an acknowledgement."),
    "snooze": _entry("acknowledge", "snooze", "Snooze an incident."),
    "resolve": _entry("acknowledge", "resolve", "Close an incident whose alert no longer fires."),
    "run": _entry("actions", "run", "Run an action manually, through the same gates."),
    "approvals": _entry("actions", "approvals", "List actions that wait for approval."),
    "approve": _entry("actions", "approve", "Approve another operator's action."),
    "deny": _entry("actions", "deny", "Deny an action, or withdraw your own request."),
    "maintenance": _entry("maintenance", "maintenance", "Begin, end and list maintenance windows."),
    "capacity": _entry(
        "capacity", "capacity", "Show what each resource uses and when it runs out."
    ),
    "readiness": _entry("readiness", "readiness", "Take a bot from paper to live trading."),
    "jobs": _entry("jobs", "jobs", "List, run and pause jobs, and show their history."),
    "events": _entry("events", "events", "Show past events, or follow new ones."),
    "bot-events": _entry("bot_events", "bot_events", "Show trades and other events of the bots."),
    "notify": _entry("notify", "notify", "Test, list and retry notifications that do not page."),
    "report": _entry("report", "report", "Report on a day, a week, a month or a quarter."),
    "status-page": _entry(
        "status_page", "status_page", "Print a status page without names or amounts."
    ),
    "token": _entry("token", "token", "Add, list and revoke API tokens."),
    "runbook": _entry("runbook", "runbook", "Check the runbooks."),
    "backup": _entry("backup", "backup", "Take, list, verify and prune backups."),
    "restore": _entry("restore", "restore", "Restore a backup to a new folder, or in place."),
    "clean-up": _entry("clean_up", "clean_up", "Remove files that are no longer needed."),
    "migrate": _entry("migrate", "migrate", "Upgrade the reconciler's database schema."),
    "export": _entry("export", "export", "Serve metrics of the host, processes and venues."),
    "node": _entry("node", "node", "Run the executor for the services of this host."),
    "completion": _entry("completion", "completion", "Print the completion script for a shell."),
}


def added() -> Mapping[str, CommandEntry]:
    """Return the commands of other installed packages; the product's own names win."""
    return {name: entry for name, entry in _loaded().items() if name not in COMMANDS}


@functools.cache
def _loaded() -> Mapping[str, CommandEntry]:
    found: dict[str, CommandEntry] = {}
    for entry_point in entry_points(group=ADDED_BY):
        try:
            found |= entry_point.load()
        except ImportError:
            continue  # its own dependencies are not installed
    return found


def find(name: str) -> CommandEntry | None:
    """Return the command of this name, or None; other packages are searched last, which is slow.

    In the folder of a local stack, `status`, `doctor` and `restart` come from the lab.
    """
    entry = COMMANDS.get(name)
    if name in OF_LOCAL_STACK and is_local_stack():
        entry = _loaded().get(name) or entry
    entry = entry or added().get(name)
    return entry if entry is not None and entry.is_installed else None


def is_local_stack() -> bool:
    """Return whether this is a local stack's folder: its registry has a supervisor or is missing.

    Also true if a supervisor has run here, because targets.yml may be invalid during an edit.
    """
    from trading_ops.cli.local_stack import lock_file  # noqa: PLC0415
    from trading_ops.config.loading import load_settings  # noqa: PLC0415
    from trading_ops.errors import TradingOpsError  # noqa: PLC0415

    try:
        settings = load_settings()
        text = settings.targets_file.read_text(encoding="utf-8")
    except (OSError, UnicodeError, TradingOpsError):
        return True
    return SUPERVISOR.search(text) is not None or lock_file(settings.var).exists()
