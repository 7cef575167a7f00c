"""Finds a configured process, and detects when its PID was reused."""

import json
from contextlib import suppress
from pathlib import Path

import psutil

from trading_ops import clock
from trading_ops.exporter.config import ProcessEntry

SEARCH_INTERVAL_SECONDS = 15.0
"""A search reads the command line of every process of the host; it is done only while needed."""

WRITTEN_AFTER_SECONDS = 60.0
"""A process that started later than this after its PID file was written has reused the PID."""

LARGEST_FILE = 64 * 1024
START_TIME_FIELD = 22
"""In /proc/PID/stat, counted from 1: clock ticks after boot."""


class Finder:
    """Finds one process; cheap while it runs."""

    def __init__(
        self, entry: ProcessEntry, *, search_interval_seconds: float = SEARCH_INTERVAL_SECONDS
    ) -> None:
        self._entry = entry
        self._search_interval = search_interval_seconds
        self._found: psutil.Process | None = None
        self._search_due = 0.0

    def find(self) -> psutil.Process | None:
        """Return the process, the same object during one run; None if it is not running."""
        entry = self._entry
        if entry.unit is not None:
            return self._by_unit(entry.unit, entry.units_file or Path())
        if entry.pid_file is not None:
            return self._by_pid_file(entry.pid_file)
        return self._by_command(entry.command or "")

    def _by_pid_file(self, path: Path) -> psutil.Process | None:
        try:
            pid = int(_head(path))
            written = path.stat().st_mtime
        except (OSError, ValueError):
            return None  # no file: not running
        process = self._with(pid)
        if process is None or process.create_time() > written + WRITTEN_AFTER_SECONDS:
            return None
        wanted = self._entry.command
        return process if wanted is None or _command(process) == wanted else None

    def _by_command(self, wanted: str) -> psutil.Process | None:
        if self._found is not None and self._found.is_running():
            return self._found
        self._found = None
        if clock.monotonic() < self._search_due:
            return None
        self._search_due = clock.monotonic() + self._search_interval
        matches = [process for process in psutil.process_iter() if _command(process) == wanted]
        # The oldest match: its forks may have the same command line.
        self._found = min(
            matches, key=lambda process: (process.create_time(), process.pid), default=None
        )
        return self._found

    def _by_unit(self, unit: str, path: Path) -> psutil.Process | None:
        try:
            matches = json.loads(_head(path))["incarnations"]
            pid, _, started = matches[unit].partition(":")
            process = self._with(int(pid))
            return process if process and _started(int(pid)) == started else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # the process or the supervisor is not running

    def _with(self, pid: int) -> psutil.Process | None:
        if self._found is None or self._found.pid != pid or not self._found.is_running():
            self._found = None
            with suppress(psutil.Error, ValueError, OverflowError):
                self._found = psutil.Process(pid)
        return self._found


def _head(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(LARGEST_FILE).decode("utf-8", "replace")


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


def _started(pid: int) -> str:
    """Return the start time of the process, in clock ticks after boot."""
    stat = _head(Path(f"/proc/{pid}/stat"))
    # The second field is the name in parentheses, which may itself contain spaces and parentheses.
    return stat.rpartition(")")[2].split()[START_TIME_FIELD - 3]
