"""What `decide` weighs, and what it can answer: every answer carries its reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from trading_ops.domain.approval import Approval
from trading_ops.domain.attempt import Attempt
from trading_ops.domain.maintenance import Maintenance
from trading_ops.domain.target import Kind


class Reason(StrEnum):
    """Why: at once the log text, the stored value and the metric label."""

    STEP_DUE = "step_due"
    ATTEMPT_SUCCEEDED = "attempt_succeeded"

    ATTEMPT_RUNNING = "attempt_running"
    OUTCOME_UNKNOWN = "outcome_unknown"
    SOURCE_UNKNOWN = "source_unknown"
    ALERT_PENDING = "alert_pending"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    AWAITING_RESOLVE = "awaiting_resolve"
    WITH_A_PERSON = "with_a_person"
    PEOPLE_ONLY = "people_only"
    PAUSED = "paused"
    OBSERVE_ONLY = "observe_only"
    MAINTENANCE = "maintenance"
    TARGET_HALTED = "target_halted"
    CAUSE_ELSEWHERE = "cause_elsewhere"
    CAUSE_MAY_SHOW = "cause_may_show"
    COOLDOWN = "cooldown"
    TARGET_BUSY = "target_busy"
    TARGET_HEALTHY = "target_healthy"
    TARGET_IMPOSTOR = "target_impostor"
    APPROVAL_MISSING = "approval_missing"
    APPROVAL_EXPIRED = "approval_expired"
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


class Stranger(str):
    """Why an answer does not count: it is not from the process that the service manager runs."""

    __slots__ = ()


class AlertView(StrEnum):
    """What Prometheus and Alertmanager together say of the incident's alert now."""

    FIRING = "firing"
    PENDING = "pending"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    """A source is out of reach, empty, partial or too young. Never read as resolved."""


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Automation stopped by a person."""

    owner: str
    reason: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class World:
    """What is true around the incident at this moment."""

    view: AlertView
    pause: Pause | None = None
    observe_only: bool = False
    """Everywhere; a runbook has a word of its own."""

    target_observe_only: bool = False
    """`observe_only` of the target's entry in targets.yml."""

    maintenance: Maintenance | None = None
    """The window that holds the target now."""

    halted: str | None = None
    """Who of the people has halted the target, and why; None: nobody."""

    acknowledged: str | None = None
    """Whose the incident is, in a phrase, also before its silence shows; None: nobody's."""

    target_registered: bool = True
    target_kind: Kind | None = None
    """Which steps can be done at all; None: every one, as far as is known."""

    blocking: tuple[str, ...] = ()
    """Alerts of the runbook's `unless` that are pending or firing for the target or its venue."""

    failing_targets: int = 1
    """Targets that are failing now, this one included."""

    failing_peak: int = 0
    """The most targets that failed at one moment within the last `storm_quiet`."""

    fleet: int = 0
    """Registered bots."""

    peers: int = 0
    """Other registered targets of the same kind."""

    failing_peers: int = 0
    """How many of them are failing now."""

    approvals: Mapping[str, Approval] = field(default_factory=dict)
    """The latest request for each digest."""

    precondition: str | None = None
    """Why the next step must not run on the target as probed now; None: it may."""


@dataclass(frozen=True, kw_only=True)
class History:
    """What was done before. All attempts are oldest first."""

    incident: tuple[Attempt, ...] = ()
    """Attempts of this incident."""

    target: tuple[Attempt, ...] = ()
    """Attempts on this target inside the longest window, since its budget was last forgiven."""

    everywhere: int = 0
    """Attempts on all targets inside the global window."""

    episodes: int = 1
    """Incidents of the same alert opened within `flap_window` before this one, itself included,
    since the target's budget was last forgiven."""


@dataclass(frozen=True, kw_only=True)
class GlobalLimits:
    """What holds for all runbooks together."""

    attempts: int = 20
    """Attempts on all targets inside `window`, or `attempts_share` of the fleet if that is more."""

    attempts_share: float = 0.1
    window: timedelta = timedelta(minutes=10)
    storm_targets: int = 3
    """More targets than this failing at once, and than `storm_share` of the fleet, is a storm."""

    storm_share: float = 0.1
    storm_quiet: timedelta = timedelta(minutes=2)
    """A storm is over when no more than `storm_targets` failed at once for so long."""

    minimum_healthy_share: float = 0.5
    """Of the other targets of the same kind at least this share must be healthy."""

    unhealthy_targets: int = 0
    """As many of them may be unhealthy whatever their share is."""

    flap_episodes: int = 3
    """So many incidents of one alert within `flap_window`: it flaps."""

    flap_window: timedelta = timedelta(minutes=10)
    flap_quiet: timedelta = timedelta(minutes=5)
    """The incident of an alert that flaps stays open until the alert was absent for so long."""

    settle: timedelta = timedelta(seconds=30)
    """How long a verified alert may go on firing before it counts as broken again."""

    probe_within: timedelta = timedelta(minutes=1)
    """After this an attempt whose outcome nobody can tell goes to a person."""

    cause_detection: timedelta = timedelta(seconds=3)
    """A one-shot waits this long after the alert began, so that its cause can show itself."""

    def attempts_of(self, fleet: int) -> int:
        """Return how many attempts a fleet of so many bots may have inside `window`."""
        return max(self.attempts, int(self.attempts_share * fleet))

    def storm_of(self, fleet: int) -> int:
        """Return how many targets may fail at once in a fleet of so many bots."""
        return max(self.storm_targets, int(self.storm_share * fleet))


@dataclass(frozen=True, kw_only=True)
class Run:
    """Carry out this step now."""

    step: int
    reason: Reason = Reason.STEP_DUE
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Do nothing, for a reason; look again at `until`, or when something changes."""

    reason: Reason
    until: datetime | None = None
    note: str = ""
    would: int | None = None
    """The step that would have run, had this gate been open."""


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Ask Prometheus whether this attempt's symptom is gone."""

    attempt: Attempt
    until: datetime
    reason: Reason = Reason.ATTEMPT_SUCCEEDED
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Escalate:
    """Hand over to a person."""

    reason: Reason
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Close:
    """The episode is over."""

    reason: Reason
    note: str = ""


Decision = Run | Wait | Verify | Escalate | Close
