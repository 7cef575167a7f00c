"""How every command writes a moment for people: on this machine's clock, with its offset."""

from datetime import datetime

from trading_ops import clock


def moment(at: datetime) -> str:
    """Return `2026-03-01 12:00:00+01:00`: readable here, and not to be mistaken elsewhere."""
    return at.astimezone().isoformat(sep=" ", timespec="seconds")


def offset() -> str:
    """Return this machine's offset now, as `+01:00`: it heads a column of `short` moments."""
    return moment(clock.now())[-6:]


def short(at: datetime) -> str:
    """Return a moment for a narrow column, by the clock of `offset`: `03-01 12:00:00`.

    Of another year it is `2025-03-01 12:00`.
    """
    now = clock.now().astimezone()
    said = at.astimezone(now.tzinfo).isoformat(sep=" ", timespec="seconds")
    return said[5:19] if said[:4] == f"{now.year}" else said[:16]
