"""A second person's word for one step with exactly these parameters: given once, for a short time.

The digest binds it: whatever would be done otherwise than it was shown has another digest, and
for that nothing was approved.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

REQUEST_LASTS = timedelta(hours=1)
"""A request that nobody answered is asked again after this, with what is true then."""

APPROVAL_LASTS = timedelta(minutes=10)
"""An approval that was not used by then was given for a situation that is over."""


class ApprovalState(StrEnum):
    """Where one request stands."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    USED = "used"
    """An attempt was started with it; it is good for no other."""

    EXPIRED = "expired"


@dataclass(frozen=True, kw_only=True)
class Approval:
    """One request, and what became of it."""

    id: str
    incident_id: str | None
    """None: for what a person orders by hand."""

    action: str
    target: str
    params: Mapping[str, str]
    digest: str
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    """Of the request, or once it was approved, of the approval."""

    state: ApprovalState
    decided_by: str | None = None
    decided_at: datetime | None = None

    def standing(self, now: datetime) -> ApprovalState:
        """Return the state at this moment: what has run out is expired, stored so or not.

        A denial runs out too, with its request: then the same may be asked again.
        """
        if self.state is ApprovalState.USED or now < self.expires_at:
            return self.state
        return ApprovalState.EXPIRED


def digest(
    *,
    incident_id: str | None,
    action: str,
    target: str,
    params: Mapping[str, str],
    step: int | None,
) -> str:
    """Return the SHA-256, in hex, of exactly what would be done, in one canonical spelling."""
    wanted = {
        "action": action,
        "incident": incident_id,
        "params": dict(params),
        "step": step,
        "target": target,
    }
    text = json.dumps(wanted, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def same_person(one: str, other: str) -> bool:
    """Whether two names mean the same person; spelling and spaces must not make two of one."""
    return one.strip().casefold() == other.strip().casefold()
