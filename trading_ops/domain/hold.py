"""One request that a bot be held in a more careful state than it would choose itself."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MACHINE = "reconciler"
"""The owner of holds that no person laid: they do not stop recovery."""


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
