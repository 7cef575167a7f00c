"""The interface of a service manager. One implementation for each kind of manager."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable

from trading_ops.agent.incarnation import incarnation
from trading_ops.errors import SetupError, StackError


class ManagerUnavailable(StackError):
    """The service manager did not answer: nothing is known of the unit."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """A unit as its service manager sees it."""

    state: str
    """The manager's own state, such as `active` or `exited`."""

    running: bool
    incarnation: str | None = None
    """Identifies one run of the unit; of a stopped one the last, None before the first."""

    pid: int | None = None
    """Its main process on the host; None while it does not run."""

    reported: str | None = None
    """The incarnation that the main process reports of itself; None if unknown."""

    detail: str = ""
    """How the last run ended, if it has."""


def reported_incarnation(pid: int | None, mark: str, proc: Path = Path("/proc")) -> str | None:
    """Return `<pid>:<start time>` as a process sees itself in its own PID namespace.

    None when it has children: it may be a shell or an init process, with the bot as its child.

    Args:
        pid: its number on the host.
        mark: must be in the path of its control group. Otherwise the number is another process's:
            the manager is in another PID namespace than we are.
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

    async def status(self, name: str) -> Status:
        """Return the unit's state.

        Raises:
            SetupError: the manager has no such unit.
        """

    async def start(self, name: str, within: timedelta) -> None:
        """Start it, unless it runs, and wait until the manager calls it started.

        Raises:
            SetupError: it could not be started.
        """

    async def stop(self, name: str, grace: timedelta) -> None:
        """Stop it; what still runs after the grace is killed. Nothing but `start` starts it again.

        Raises:
            SetupError: it could not be stopped.
        """

    async def restart(self, name: str, within: timedelta) -> None:
        """Replace its process, and wait until the manager calls it started.

        Raises:
            SetupError: it could not be restarted.
        """

    async def close(self) -> None:
        """Release the connection to the manager."""


@runtime_checkable
class ResourceControl(Protocol):
    """A service manager that can also change what its units may use. Only systemd is one."""

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
