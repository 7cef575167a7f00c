"""A hold restricts a bot's trading."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

RECONCILER = "reconciler"
"""The owner of the reconciler's own holds."""

OF_THE_BOT = frozenset({"risk", "recovery", "leadership"})
"""Owners of holds that a bot places on itself; their ids start with the owner."""


class HeldState(StrEnum):
    """State that a hold requires; without holds a bot is active."""

    REDUCING = "reducing"
    """Only orders that reduce exposure."""

    HALTED = "halted"
    """No new or amended orders; cancels and queries still work."""

    @property
    def severity(self) -> int:
        """Return its rank; the highest of several holds applies."""
        return list(HeldState).index(self)


@dataclass(frozen=True, kw_only=True)
class Hold:
    """One hold; in force until an operator releases it."""

    id: str
    """Globally unique; of two with the same id the stricter one applies."""

    target: str
    state: HeldState
    owner: str
    reason: str
    at: datetime


def is_automatic(hold: Hold) -> bool:
    """Whether a hold is automatic; such a hold does not suppress remediation."""
    of_the_bot = hold.owner in OF_THE_BOT and hold.id.startswith(f"{hold.owner}-")
    return hold.owner == RECONCILER or of_the_bot


_UNRESPONSIVE = "agent-unresponsive"
_FORMER_UNRESPONSIVE = "agent-silent"
"""The same in holds that earlier releases stored."""


def unresponsive_halt_id(target: str, incarnation: str) -> str:
    """Return the id of the halt of an unresponsive bot: one per incarnation, on every replica."""
    return f"{_UNRESPONSIVE}-{target}-{incarnation}"


def meant_incarnation(hold: Hold) -> str | None:
    """Return the incarnation that the halt of an unresponsive bot is for; None: for all.

    Until it was in force it is never placed on another incarnation: a process that replaces a
    crashed unresponsive one starts without it.
    """
    for kind in (_UNRESPONSIVE, _FORMER_UNRESPONSIVE):
        prefix = f"{kind}-{hold.target}-"
        if hold.owner == RECONCILER and hold.id.startswith(prefix):
            return hold.id.removeprefix(prefix)
    return None
