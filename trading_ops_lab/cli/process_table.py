"""The table of processes, for rich and as plain lines."""

from typing import Any

from rich.table import Table
from rich.text import Text

COLORS = {
    "ready": "green",
    "starting": "yellow",
    "exited": "red",
    "backoff": "bold red",
    "stopped": "dim",
}


def table(overview: dict[str, Any]) -> Table:
    """Return the table: process, state, address, log; under the log why a start failed.

    Args:
        overview: what the supervisor's API answers to `GET /processes`.
    """
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    with_memory = any("rss_bytes" in process for process in overview["processes"])
    for column in ("process", "state", *(["memory"] if with_memory else []), "address", "log"):
        drawn.add_column(column, no_wrap=column != "log", overflow="fold")
    for process in overview["processes"]:
        color = COLORS.get(process["state"], "")
        drawn.add_row(
            process["unit"],
            Text(state_label(process), style=color),
            *([megabytes(process.get("rss_bytes"))] if with_memory else []),
            process["address"],
            Text("\n".join(filter(None, (process["log"], process.get("problem"))))),
        )
    return drawn


def state_label(process: dict[str, Any]) -> str:
    """Return a process's state as text, with details."""
    state = process["state"]
    details = []
    if state in {"exited", "backoff"} and process["exit_code"] is not None:
        details.append(ending(process["exit_code"]))
    if process["restarts"]:
        times = "once" if process["restarts"] == 1 else f"{process['restarts']} times"
        details.append(f"restarted {times}")
    if state == "exited" and process["restarts_by"] == "reconciler":
        details.append("the reconciler restarts it")
    label = {"backoff": "failing"}.get(state, state)
    return f"{label} ({', '.join(details)})" if details else label


def megabytes(size: int | None) -> str:
    """Return a human-readable size; empty for a process that does not run."""
    return "-" if size is None else f"{size / 1e6:.1f} MB"


def ending(exit_code: int) -> str:
    """Return how a process ended; a negative code is the signal that killed it."""
    return f"signal {-exit_code}" if exit_code < 0 else f"code {exit_code}"
