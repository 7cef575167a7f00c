"""Formats times for every command: local time with its UTC offset."""

from datetime import datetime

from trading_ops import clock


def moment(at: datetime) -> str:
    """Return `2026-03-01 12:00:00+01:00`."""
    return at.astimezone().isoformat(sep=" ", timespec="seconds")


def offset() -> str:
    """Return the current UTC offset, as `+01:00`: the heading for a column of `short` times."""
    return moment(clock.now())[-6:]


def short(at: datetime) -> str:
    """Return a time for a narrow column, in the offset of `offset`: `03-01 12:00:00`.

    In another year: `2025-03-01 12:00`.
    """
    now = clock.now().astimezone()
    said = at.astimezone(now.tzinfo).isoformat(sep=" ", timespec="seconds")
    return said[5:19] if said[:4] == f"{now.year}" else said[:16]
