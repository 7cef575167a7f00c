"""One run of an action: started, ended, verified."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

AttemptId = NewType("AttemptId", str)
"""A UUID: the idempotency key of the attempt everywhere."""


LAST_LINES = "last_lines"
"""Kind of the event with what a process had logged before an attempt replaced it."""


class DeliverySemantics(StrEnum):
    """How often an action may be executed."""

    SAFE_DIRECTION = "safe_direction"
    """At least once: halt, pause, cancel orders. Passes all gates except suppression."""

    IDEMPOTENT = "idempotent"
    """Retried with backoff: reconnect, restart a component."""

    ONE_SHOT = "one_shot"
    """At most once, fenced: restart a bot. After a crash the target is probed."""


class AttemptState(StrEnum):
    """State of an attempt."""

    STARTED = "started"
    """Committed before execution; without an outcome after a crash it becomes `unknown`."""

    UNKNOWN = "unknown"
    """The outcome is unknown until a probe finds it."""

    SUCCEEDED = "succeeded"
    """The action succeeded; not verified yet."""

    FAILED = "failed"
    """The action failed; the next step is due."""

    ABANDONED = "abandoned"
    """It never reached the target and never will: the same step may be retried."""

    VERIFIED = "verified"
    """The verify query held: the symptom is gone."""

    COMPLETED = "completed"
    """A manual action succeeded; it is not verified."""

    UNVERIFIED = "unverified"
    """The action succeeded, but the symptom remained; the next step is due."""


RUNNING = frozenset({AttemptState.STARTED, AttemptState.UNKNOWN, AttemptState.SUCCEEDED})
"""States in which an attempt occupies its target: no other action may start."""

STEP_IS_SPENT = frozenset({AttemptState.FAILED, AttemptState.UNVERIFIED})
"""States after which the next step is due."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One stored attempt."""

    id: AttemptId
    incident_id: str | None
    """None: manual, without incident."""

    runbook: str
    """The alert whose runbook started it."""

    target: str
    """The target; for a component, its bot."""

    action: str
    step: int
    """Index of the runbook's step, from 0."""

    delivery: DeliverySemantics
    fence: int
    """Fencing token; executors reject lower ones than they have seen."""

    state: AttemptState
    params: Mapping[str, str] = field(default_factory=dict)
    requested_by: str | None = None
    """The operator who requested it; None: the runbook."""

    started_at: datetime
    ended_at: datetime | None = None
    verified_at: datetime | None = None
    detail: str = ""
