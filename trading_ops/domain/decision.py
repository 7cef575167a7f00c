"""Inputs and results of `decide`; every decision has a reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from trading_ops.domain.approval import Approval
from trading_ops.domain.attempt import Attempt
from trading_ops.domain.maintenance import Maintenance
from trading_ops.domain.target import Kind


class Reason(StrEnum):
    """Reason of a decision: log text, stored value and metric label."""

    STEP_DUE = "step_due"
    ATTEMPT_SUCCEEDED = "attempt_succeeded"

    ATTEMPT_RUNNING = "attempt_running"
    OUTCOME_UNKNOWN = "outcome_unknown"
    SOURCE_UNKNOWN = "source_unknown"
    ALERT_PENDING = "alert_pending"
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    AWAITING_RESOLVE = "awaiting_resolve"
    ESCALATED = "escalated"
    PAGE_ONLY = "page_only"
    PAUSED = "paused"
    OBSERVE_ONLY = "observe_only"
    MAINTENANCE = "maintenance"
    TARGET_HALTED = "target_halted"
    CAUSE_ELSEWHERE = "cause_elsewhere"
    AWAITING_CAUSE = "awaiting_cause"
    COOLDOWN = "cooldown"
    TARGET_BUSY = "target_busy"
    TARGET_HEALTHY = "target_healthy"
    TARGET_IMPOSTOR = "target_impostor"
    APPROVAL_MISSING = "approval_missing"
    APPROVAL_EXPIRED = "approval_expired"
    BUDGET_SPENT = "budget_spent"
    FLAPPING = "flapping"

    NO_RUNBOOK = "no_runbook"
    TARGET_UNKNOWN = "target_unknown"
    STEPS_EXHAUSTED = "steps_exhausted"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    GLOBAL_BUDGET = "global_budget"
    STORM = "storm"
    FLEET_UNHEALTHY = "fleet_unhealthy"
    APPROVAL_DENIED = "approval_denied"
    CRASHED = "crashed"

    RECOVERED = "recovered"
    RESOLVED = "resolved"
    RESOLVED_BY_OPERATOR = "resolved_by_operator"


NEEDS_APPROVAL = frozenset({Reason.APPROVAL_MISSING, Reason.APPROVAL_EXPIRED})
"""Reasons that another operator's approval ends."""


class Impostor(str):
    """An answer from another process than the service manager's, and why it is ignored."""

    __slots__ = ()


class AlertState(StrEnum):
    """Current state of the incident's alert in Prometheus and Alertmanager."""

    FIRING = "firing"
    PENDING = "pending"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    """A source is unreachable, empty, partial or too young. Never treated as resolved."""


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A pause of automation."""

    owner: str
    reason: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class World:
    """The context of the incident at this time."""

    view: AlertState
    pause: Pause | None = None
    observe_only: bool = False
    """Observe-only everywhere; a runbook has its own setting."""

    target_observe_only: bool = False
    """`observe_only` of the target's entry in targets.yml."""

    maintenance: Maintenance | None = None
    """The active maintenance window of the target."""

    halted: str | None = None
    """The operator's halt of the target with its reason; None: not halted."""

    acknowledged: str | None = None
    """Description of the acknowledgement, even before its silence is active; None: none."""

    target_registered: bool = True
    target_kind: Kind | None = None
    """The target's kind, which decides which steps are possible; None: all."""

    blocking: tuple[str, ...] = ()
    """Alerts of the runbook's `unless` that are pending or firing for the target or its venue."""

    failing_targets: int = 1
    """Targets failing now, including this one."""

    failing_peak: int = 0
    """Maximum of targets failing at the same time within the last `storm_quiet`."""

    fleet: int = 0
    """Number of registered bots."""

    peers: int = 0
    """Number of other registered targets of the same kind."""

    failing_peers: int = 0
    """Number of them that fail now."""

    approvals: Mapping[str, Approval] = field(default_factory=dict)
    """The latest request for each digest."""

    budget_spent: str | None = None
    """Why the bot must not be rolled: its error budget is exhausted; None: it may. Manual only."""

    precondition: str | None = None
    """Why the probed target must not run the next step; None: it may."""


@dataclass(frozen=True, kw_only=True)
class AttemptHistory:
    """Previous attempts, oldest first."""

    incident: tuple[Attempt, ...] = ()
    """Attempts of this incident."""

    target: tuple[Attempt, ...] = ()
    """Attempts on this target within the longest window, since its budget was last reset."""

    everywhere: int = 0
    """Attempts on all targets within the global window."""

    episodes: int = 1
    """Incidents of the same alert opened within `flap_window` before this one, including itself,
    since the target's budget was last reset."""


@dataclass(frozen=True, kw_only=True)
class GlobalLimits:
    """Limits for all runbooks together."""

    attempts: int = 20
    """Maximum attempts on all targets within `window`; or `attempts_share` per bot if more."""

    attempts_share: float = 0.1
    window: timedelta = timedelta(minutes=10)
    storm_targets: int = 3
    """A storm is more failing targets than this, and than `storm_share` of the fleet."""

    storm_share: float = 0.1
    storm_quiet: timedelta = timedelta(minutes=2)
    """A storm ends when at most `storm_targets` failed at once for this long."""

    minimum_healthy_share: float = 0.5
    """Minimum healthy share of the other targets of the same kind."""

    unhealthy_targets: int = 0
    """Number of them that may be unhealthy regardless of the share."""

    flap_episodes: int = 3
    """Number of incidents of one alert within `flap_window` that counts as flapping."""

    flap_window: timedelta = timedelta(minutes=10)
    flap_quiet: timedelta = timedelta(minutes=5)
    """The incident of a flapping alert stays open until the alert was absent for this long."""

    settle: timedelta = timedelta(seconds=30)
    """How long an alert may keep firing after verification before it counts as failed again."""

    probe_within: timedelta = timedelta(minutes=1)
    """An attempt with an unknown outcome is escalated after this."""

    cause_detection: timedelta = timedelta(seconds=3)
    """A one-shot waits this long after the alert started, so that alerts on its cause can fire."""

    def attempts_of(self, fleet: int) -> int:
        """Return the maximum of attempts within `window` for a fleet of this size."""
        return max(self.attempts, int(self.attempts_share * fleet))

    def storm_of(self, fleet: int) -> int:
        """Return the number of targets that may fail at once in a fleet of this size."""
        return max(self.storm_targets, int(self.storm_share * fleet))


@dataclass(frozen=True, kw_only=True)
class Run:
    """Run this step now."""

    step: int
    reason: Reason = Reason.STEP_DUE
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Do not act, for a reason; decide again at `until` or when something changes."""

    reason: Reason
    until: datetime | None = None
    note: str = ""
    blocked_step: int | None = None
    """The step that would have run if this gate were open."""


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Query Prometheus whether this attempt's symptom is gone."""

    attempt: Attempt
    until: datetime
    reason: Reason = Reason.ATTEMPT_SUCCEEDED
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Escalate:
    """Page on-call."""

    reason: Reason
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Close:
    """Close the incident."""

    reason: Reason
    note: str = ""


Decision = Run | Wait | Verify | Escalate | Close
