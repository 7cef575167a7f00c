"""How every command writes a moment for people: on this machine's clock, with its offset."""

from datetime import datetime


def moment(at: datetime) -> str:
    """Return `2026-03-01 12:00:00+01:00`: readable here, and not to be mistaken elsewhere."""
    return at.astimezone().isoformat(sep=" ", timespec="seconds")
