"""Adds the memory of each process to an overview."""

from pathlib import Path
from typing import Any

import psutil


def add_memory(overview: dict[str, Any], *, address: str, log: Path) -> None:
    """Add `rss_bytes` to each running process, and the supervisor itself as a process.

    Resident memory counts shared libraries in each process that uses them.

    Args:
        overview: the supervisor's answer; changed in place.
        address: the supervisor's address.
        log: the supervisor's own log.
    """
    stack = overview["stack"]
    overview["processes"].append(
        {
            "unit": "supervisor",
            "pid": stack["pid"],
            "state": "ready",
            "exit_code": None,
            "restarts": 0,
            "restarts_by": "",
            "address": address,
            "log": str(log),
        }
    )
    for process in overview["processes"]:
        process["rss_bytes"] = _resident(process["pid"])


def _resident(pid: int | None) -> int | None:
    if pid is None:
        return None
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
