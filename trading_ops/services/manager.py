"""The interface of a service manager, with one implementation for each kind."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable

from trading_ops.agent.incarnation import incarnation
from trading_ops.errors import SetupError, StackError


class ManagerUnavailable(StackError):
    """The service manager did not answer; the unit's state is unknown."""


@dataclass(frozen=True, kw_only=True)
class UnitStatus:
    """State of a unit according to its service manager."""

    state: str
    """The manager's own state, such as `active` or `exited`."""

    running: bool
    incarnation: str | None = None
    """Identifies one run of the unit: the current or the last one; None before the first."""

    pid: int | None = None
    """Main process on the host; None if it is not running."""

    reported: str | None = None
    """The incarnation that the main process itself reports; None: unknown."""

    detail: str = ""
    """How the last run ended."""

    unhealthy: bool = False
    """Whether the manager's own health check of the running unit fails."""


def reported_incarnation(pid: int | None, mark: str, proc: Path = Path("/proc")) -> str | None:
    """Return `<pid>:<start time>` of a process in its own PID namespace.

    None if it has children: it may be a shell or an init process with the bot as its child.

    Args:
        pid: PID on the host.
        mark: must be in the path of its control group. Otherwise the PID belongs to another
            process, because the manager is in another PID namespace.
        proc: for tests.
    """
    if pid is None:
        return None
    try:
        if mark not in (proc / str(pid) / "cgroup").read_text(encoding="utf-8", errors="replace"):
            return None
        tasks = (proc / str(pid) / "task").glob("*/children")
        if any(task.read_text(encoding="ascii").strip() for task in tasks):
            return None
        status = (proc / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
        started = incarnation(pid, proc).partition(":")[2]
    except (OSError, SetupError):
        return None
    own = next((line.split()[-1] for line in status.splitlines() if line[:6] == "NSpid:"), str(pid))
    return f"{own}:{started}"


class ServiceManager(Protocol):
    """One service manager of this host. Every call may raise ManagerUnavailable."""

    async def status(self, name: str) -> UnitStatus:
        """Return the unit's state.

        Raises:
            SetupError: the manager has no such unit.
        """

    async def start(self, name: str, within: timedelta) -> None:
        """Start the unit unless it runs, and wait until the manager reports it as started.

        Raises:
            SetupError: it could not be started.
        """

    async def stop(self, name: str, grace: timedelta) -> None:
        """Stop the unit; after the grace period it is killed. It stays stopped until `start`.

        Raises:
            SetupError: it could not be stopped.
        """

    async def restart(self, name: str, within: timedelta) -> None:
        """Restart the unit, and wait until the manager reports it as started.

        Raises:
            SetupError: it could not be restarted.
        """

    async def close(self) -> None:
        """Release the connection to the manager."""


@runtime_checkable
class KeepsLogs(Protocol):
    """A service manager that keeps what its units log: systemd and Docker."""

    async def last_lines(self, name: str, incarnation: str) -> list[str]:
        """Return the last lines that one run of a unit logged, as they are.

        Raises:
            SetupError: they cannot be read here.
        """


@runtime_checkable
class ResourceControl(Protocol):
    """A service manager that can also change what its units may use: systemd, and the lab's."""

    async def resource(self, name: str, resource: str) -> int:
        """Return what a unit has of a resource, in the manager's own unit.

        Raises:
            SetupError: the manager has no such unit.
        """

    async def set_resource(self, name: str, resource: str, value: int) -> None:
        """Change it until the host reboots. The unit keeps running.

        Raises:
            SetupError: the manager refuses, or the unit would be killed at once.
        """
