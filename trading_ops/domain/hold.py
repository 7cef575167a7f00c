"""One request that a bot be held in a more careful state than it would choose itself."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MACHINE = "reconciler"
"""The owner of the reconciler's own holds."""

OF_THE_BOT = frozenset({"risk", "recovery", "leadership"})
"""The owners of holds that a bot lays on itself; their ids begin with the owner."""


class HeldState(StrEnum):
    """What a hold asks for; with no hold at all a bot is active."""

    REDUCING = "reducing"
    """Only what shrinks exposure."""

    HALTED = "halted"
    """No submits and no changes; cancels and queries pass."""

    @property
    def severity(self) -> int:
        """Return its rank; of several holds the highest wins."""
        return list(HeldState).index(self)


@dataclass(frozen=True, kw_only=True)
class Hold:
    """One hold; it stands until a person lifts it."""

    id: str
    """Unique everywhere; of two that are laid with one id the stricter stands."""

    target: str
    state: HeldState
    owner: str
    reason: str
    at: datetime


def is_machines(hold: Hold) -> bool:
    """Say whether no person laid a hold: it then keeps nobody from healing what is held."""
    of_the_bot = hold.owner in OF_THE_BOT and hold.id.startswith(f"{hold.owner}-")
    return hold.owner == MACHINE or of_the_bot


_SILENCE = "agent-silent"


def silence_id(target: str, incarnation: str) -> str:
    """Return the id of a silence's halt: one for each life, whichever replica asks for it."""
    return f"{_SILENCE}-{target}-{incarnation}"


def life_meant(hold: Hold) -> str | None:
    """Return the incarnation that a silence's halt is of; None: the hold is for every life.

    It is never laid on another one than that, as long as it was not in force: what starts after
    a process that died mute begins as free as it would have without us.
    """
    prefix = silence_id(hold.target, "")
    if hold.owner != MACHINE or not hold.id.startswith(prefix):
        return None
    return hold.id.removeprefix(prefix)
