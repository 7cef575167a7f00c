"""Our holds as Freqtrade can store them: global locks whose reason contains the hold.

A lock is a row in Freqtrade's database. It survives a reload, a restart and `kill -9`, and prevents
entries; a pause does not survive them and has no owner. So a hold is a lock, and a halt is a lock
and a pause: the lock records that the pause is wanted.
"""

from dataclasses import dataclass
from urllib.parse import quote, unquote

MARK = "trading-ops"
LONGEST_REASON = 255
"""Of Freqtrade's column, in characters."""

LONGEST_OWNER = 60

STATES = ("reducing", "halted")
GLOBAL = "*"


@dataclass(frozen=True, kw_only=True)
class LockedHold:
    """One hold that is stored as a lock."""

    lock_id: int
    id: str
    state: str
    owner: str
    reason: str
    at: float
    """Seconds since the epoch."""


def to_reason(state: str, hold_id: str, owner: str, reason: str) -> str:
    """Return the text of the lock; who and why are cut off before the id is.

    Raises:
        ValueError: the id alone is too long to be kept.
    """
    head = f"{MARK} {state} {quote(hold_id, safe='')} "
    if len(head) >= LONGEST_REASON:
        raise ValueError(f"a hold's id of {len(hold_id)} characters does not fit a lock")
    return f"{head}{quote(owner, safe='')[:LONGEST_OWNER]} {reason}"[:LONGEST_REASON]


def from_reason(lock_id: int, text: str, at: float) -> LockedHold | None:
    """Return the hold that is stored as this lock, or None if the lock is not ours."""
    mark, state, quoted, owner, reason = (*text.split(" ", 4), "", "", "", "", "")[:5]
    if mark != MARK or state not in STATES or not quoted:
        return None
    return LockedHold(
        lock_id=lock_id,
        id=unquote(quoted),
        state=state,
        owner=unquote(owner),
        reason=reason,
        at=at,
    )
