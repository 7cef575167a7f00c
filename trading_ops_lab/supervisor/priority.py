"""CPU weights of the stack's processes, by the kernel's nice values.

A nice value is a weight: each step changes it by a quarter. Where the kernel groups processes by
session (autogroup), the value applies to a whole process, as a control group's weight does;
elsewhere to each of its threads.
"""

import math
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trading_ops.errors import SetupError

if TYPE_CHECKING:
    from trading_ops_lab.supervisor.unit import Unit

NORMAL: Final = 100
"""systemd's default weight."""

STEP: Final = 1.25
LEAST_NICE, MOST_NICE = -20, 19
CAP_SYS_NICE: Final = 23
"""Bit of the capability without which a nice value cannot be lowered again."""


class Priority:
    """Changes the CPU weight of one unit. A new process of the unit has the normal weight."""

    def __init__(
        self, unit: "Unit", *, proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")
    ) -> None:
        """Set the unit.

        Args:
            unit: of the supervisor.
            proc: for tests.
            groups: the control groups, for tests.
        """
        self._unit = unit
        self._proc = proc
        self._groups = groups

    async def resource(self, name: str, resource: str) -> int:
        """Return the normal weight.

        Raises:
            SetupError: not a CPU weight.
        """
        del name
        _check(resource)
        return NORMAL

    async def set_resource(self, name: str, resource: str, value: int) -> None:
        """Change the weight of the running process; 100 is the normal one.

        Raises:
            SetupError: not a CPU weight, no process, or the weight could not be restored later.
        """
        _check(resource)
        pid = self._unit.pid
        if pid is None:
            if value == NORMAL:
                return
            raise SetupError(f"{name} does not run. Fix: start it")
        try:
            self._set(pid, nice_of(value))
        except ProcessLookupError:
            return  # it has ended, and the next one has the normal weight
        except OSError as error:
            raise SetupError(f"the kernel refuses: {error.strerror or error}") from error

    def _set(self, pid: int, nice: int) -> None:
        process = self._proc / str(pid)
        if self._is_grouped(process):
            (process / "autogroup").write_text(str(nice), "ascii")
            return
        usual = os.getpriority(os.PRIO_PROCESS, 0)
        if nice and not may_lower_to(usual, self._proc):
            raise SetupError(
                "the weight could not be restored later. Fix: run the stack as root, or allow "
                f"`ulimit -e {20 - usual}`"
            )
        for thread in (process / "task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(thread.name), min(usual + nice, MOST_NICE))

    def _is_grouped(self, process: Path) -> bool:
        """Whether the process belongs to a group of its session, and to no other CPU group."""
        try:
            enabled = (self._proc / "sys/kernel/sched_autogroup_enabled").read_text("ascii")
            lines = (process / "cgroup").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return False
        return enabled.strip() == "1" and not any(map(self._weighs, lines))

    def _weighs(self, line: str) -> bool:
        """Whether a line of /proc/PID/cgroup is a group with a CPU weight of its own."""
        _, controllers, path = line.split(":", 2)
        if controllers:
            return "cpu" in controllers.split(",") and path != "/"
        group = self._groups / path.lstrip("/")
        chain = (group, *group.parents)
        return any((part / "cpu.weight").exists() for part in chain if part != self._groups)


def nice_of(weight: int) -> int:
    """Return the nice value, relative to the usual one, that is nearest to a weight."""
    return min(max(round(-math.log(weight / NORMAL, STEP)), LEAST_NICE), MOST_NICE)


def may_lower_to(nice: int, proc: Path = Path("/proc")) -> bool:
    """Return whether this process may lower a nice value to this one."""
    status = (proc / "self/status").read_text("ascii", errors="replace")
    line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    if int(line.split()[1], 16) >> CAP_SYS_NICE & 1:
        return True
    allowed = resource.getrlimit(resource.RLIMIT_NICE)[0]
    return allowed == resource.RLIM_INFINITY or 20 - allowed <= nice


def _check(name: str) -> None:
    if name != "cpu_weight":
        fix = "use cpu_weight, or a service manager that can: systemd"
        raise SetupError(f"the lab's supervisor cannot change {name}. Fix: {fix}")
