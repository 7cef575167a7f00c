"""Time that a process's threads waited for a CPU, as counted by the kernel."""

from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
NANOSECONDS = 1e9


class CpuWait:
    """Sums the waiting times of all threads of one process.

    The kernel has one counter for each thread, and none for the process: the counter of a thread
    that ends is lost. So this adds the increase of each thread, and the sum never decreases.
    """

    def __init__(self, pid: int, proc: Path = PROC) -> None:
        """Start at zero.

        Args:
            pid: the process.
            proc: for tests.
        """
        self._tasks = proc / str(pid) / "task"
        self._last: dict[str, int] = {}
        self._total = 0

    def read(self) -> float | None:
        """Return the seconds so far; None if this kernel does not count them."""
        now: dict[str, int] = {}
        with suppress(OSError):
            for task in self._tasks.iterdir():
                with suppress(OSError, ValueError, IndexError):  # the thread has just ended
                    # Time on a CPU, time waiting for one, number of time slices: nanoseconds.
                    now[task.name] = int((task / "schedstat").read_text("ascii").split()[1])
        for thread, waited in now.items():
            before = self._last.get(thread, 0)
            self._total += waited - before if waited >= before else waited
        self._last = now
        return self._total / NANOSECONDS if now else None
