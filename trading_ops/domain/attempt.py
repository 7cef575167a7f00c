"""One run of an action: planned, started, ended, verified."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

AttemptId = NewType("AttemptId", str)
"""A UUID: the idempotency key of the attempt everywhere."""


class Delivery(StrEnum):
    """How often an action may be carried out; the heart of the safety."""

    SAFE_DIRECTION = "safe_direction"
    """At least once: halt, pause, cancel orders. Never waits for anybody."""

    IDEMPOTENT = "idempotent"
    """Retried with backoff: reconnect, restart a component."""

    ONE_SHOT = "one_shot"
    """At most once, fenced: restart a bot. After a crash the target is probed."""


class AttemptState(StrEnum):
    """Where one attempt stands."""

    STARTED = "started"
    """Committed before the effect; without an outcome after a crash it is `unknown`."""

    UNKNOWN = "unknown"
    """Nobody knows whether the effect happened; only a probe may tell."""

    SUCCEEDED = "succeeded"
    """The action did its work; whether the symptom is gone is not yet known."""

    FAILED = "failed"
    """The action did not do its work; the next step is due."""

    ABANDONED = "abandoned"
    """It never reached the target and never can: the same step may be tried again."""

    VERIFIED = "verified"
    """The verify query held: the symptom is gone."""

    COMPLETED = "completed"
    """A person ordered it and it did its work; whether it helped, the person sees."""

    UNVERIFIED = "unverified"
    """The action did its work, but the symptom stayed; the next step is due."""


RUNNING = frozenset({AttemptState.STARTED, AttemptState.UNKNOWN, AttemptState.SUCCEEDED})
"""States in which an attempt holds its target: no other action may start there."""

STEP_IS_SPENT = frozenset({AttemptState.FAILED, AttemptState.UNVERIFIED})
"""States after which the incident moves on to the next step."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt as stored."""

    id: AttemptId
    incident_id: str | None
    """None: a person ordered it, for no incident."""

    runbook: str
    """The alert name whose runbook asked for it."""

    target: str
    """The root target: a component's is its bot."""

    action: str
    step: int
    """Index of the runbook's step, from 0."""

    delivery: Delivery
    fence: int
    """Fencing token; the executor refuses a lower one than it has seen."""

    state: AttemptState
    params: Mapping[str, str] = field(default_factory=dict)
    ordered_by: str | None = None
    """Who ordered it by hand; None: the runbook did."""

    started_at: datetime
    ended_at: datetime | None = None
    verified_at: datetime | None = None
    detail: str = ""
