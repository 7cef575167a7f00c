"""Approval by a second operator of one step with exactly these parameters: single use, short-lived.

The digest binds it: any change of what would be done has another digest, which is not approved.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

REQUEST_LASTS = timedelta(hours=1)
"""An unanswered request expires after this and is renewed with the current state."""

APPROVAL_LASTS = timedelta(minutes=10)
"""An unused approval expires after this."""


class ApprovalState(StrEnum):
    """State of a request."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    USED = "used"
    """An attempt was started with it; it is not valid for another."""

    EXPIRED = "expired"


@dataclass(frozen=True, kw_only=True)
class Approval:
    """One approval request and its result."""

    id: str
    incident_id: str | None
    """None: for a manual action."""

    action: str
    target: str
    params: Mapping[str, str]
    digest: str
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    """Expiry of the request or, once approved, of the approval."""

    state: ApprovalState
    decided_by: str | None = None
    decided_at: datetime | None = None

    def state_at(self, now: datetime) -> ApprovalState:
        """Return the state at this time: expired even if not stored as such.

        A denial expires with its request: then the same may be requested again.
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
    """Return the SHA-256 in hex of a canonical description of what would be done."""
    wanted = {
        "action": action,
        "incident": incident_id,
        "params": dict(params),
        "step": step,
        "target": target,
    }
    text = json.dumps(wanted, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def same_person(first: str, other: str) -> bool:
    """Whether two names are the same person, ignoring case and spaces."""
    return first.strip().casefold() == other.strip().casefold()
