"""Answers of the reconciler's API, as the command line and the drills read them.

`trading_ops.api` declares the same views again: server and client are separate programs, and either
may be newer, so each declares the fields that it uses.
"""

from datetime import datetime
from typing import Any

import msgspec


class BotEventView(msgspec.Struct):
    """One event that a bot reported."""

    seq: int
    bot: str
    event: str
    kind: str
    severity: str
    at: datetime
    strategy: str
    symbol: str
    order: str
    correlation: str
    summary: str
    data: dict[str, Any]


class BotEventCountView(msgspec.Struct):
    """Number of events of one kind of a bot."""

    bot: str
    kind: str
    severity: str
    count: int
    latest: datetime


class PauseView(msgspec.Struct):
    """A pause in force."""

    owner: str
    reason: str
    expires_at: datetime


class IncidentView(msgspec.Struct):
    """One incident."""

    id: str
    alert: str
    target: str | None
    labels: dict[str, str]
    starts_at: datetime
    received_at: datetime
    opened_at: datetime
    escalated_at: datetime | None
    closed_at: datetime | None
    close_reason: str | None
    fingerprint: str = ""
    annotations: dict[str, str] = {}
    resolved_at: datetime | None = None


class IncidentStatusView(msgspec.Struct):
    """Who has acknowledged an open incident, or why automation does not act on it."""

    state: str
    owner: str | None = None
    until: datetime | None = None
    note: str = ""


class ListedIncidentView(IncidentView):
    """One incident in a list."""

    status: IncidentStatusView | None = None
    """None: closed."""


class AttemptView(msgspec.Struct):
    """One attempt."""

    id: str
    action: str
    target: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    verified_at: datetime | None
    detail: str
    runbook: str = ""
    step: int = 0
    delivery: str = ""
    fence: int = 0
    params: dict[str, str] = {}
    requested_by: str | None = None
    incident_id: str | None = None


class EventView(msgspec.Struct):
    """One line of an incident's timeline."""

    at: datetime
    kind: str
    reason: str
    note: str
    actor: str
    seq: int = 0
    incident_id: str | None = None
    attempt_id: str | None = None
    before: str | None = None
    after: str | None = None


class TimelineView(msgspec.Struct):
    """An incident with its attempts and events, oldest first."""

    incident: IncidentView
    attempts: list[AttemptView]
    events: list[EventView]


class StatusView(msgspec.Struct):
    """State of the reconciler."""

    version: str
    pause: PauseView | None
    incidents_open: int
    open_incidents: list[IncidentView]
    """The oldest, at most twenty."""

    notifications_waiting: int
    notifications_quarantined: int


class AcknowledgementView(msgspec.Struct):
    """An acknowledgement or snooze of an incident."""

    incident_id: str
    kind: str
    owner: str
    until: datetime
    trouble: str | None = None
    """Why Alertmanager does not have it yet; None: it does."""


class PlacedView(msgspec.Struct):
    """Result of placing one hold."""

    target: str
    id: str
    state: str
    stored: bool
    acknowledged: bool
    """Whether the bot has confirmed that the hold is in force."""

    detail: str


class HoldView(msgspec.Struct):
    """One active hold."""

    id: str
    state: str
    owner: str
    reason: str
    at: datetime


class SilenceView(msgspec.Struct):
    """One manual silence in Alertmanager."""

    id: str
    owner: str
    comment: str
    ends_at: datetime
    matchers: list[str]


class AgentView(msgspec.Struct):
    """A bot's last health report to the reconciler."""

    state: str
    status: str
    answered_at: datetime
    components: dict[str, bool]


class TargetView(msgspec.Struct):
    """One registered target, as shown to operators."""

    name: str
    holds: list[HoldView]
    in_force: list[str] = []
    """Ids of the holds that the bot has acknowledged."""

    silences: list[SilenceView] = []
    agent: AgentView | None = None


class ReleasedView(msgspec.Struct):
    """Which holds were released, and which are still active."""

    target: str
    ids: list[str]
    remaining: list[HoldView]
    detail: str


class ApprovalView(msgspec.Struct):
    """One approval request."""

    id: str
    action: str
    target: str
    params: dict[str, str]
    requested_by: str
    expires_at: datetime
    state: str
    decided_by: str | None = None


class RefusalView(msgspec.Struct):
    """The closed gate, and how to open it."""

    reason: str
    note: str
    opens: str
    until: datetime | None = None


class ActionOutcomeView(msgspec.Struct):
    """Outcome of a manual action."""

    attempt: AttemptView | None
    refusal: RefusalView | None
    approval: ApprovalView | None


class WindowView(msgspec.Struct):
    """One maintenance window."""

    id: int
    target: str | None
    owner: str
    reason: str
    begins_at: datetime
    ends_at: datetime
    ended_by: str | None = None


class RecurringWindowView(msgspec.Struct):
    """One recurring maintenance window."""

    id: int
    target: str | None
    owner: str
    reason: str
    every: str
    zone: str
    seconds: int


class WindowsView(msgspec.Struct):
    """Open and scheduled windows, and what recurs."""

    maintenance: list[WindowView]
    recurring: list[RecurringWindowView] = []


class JobRunView(msgspec.Struct):
    """One run of a job."""

    id: int
    job: str
    due_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    outcome: str
    detail: str
    actor: str


class JobView(msgspec.Struct):
    """One job."""

    name: str
    schedule: str
    misfire: str
    timeout_seconds: float
    enabled: bool
    due_at: datetime | None
    held_by: str | None
    paused_by: str | None
    paused_reason: str | None
    running: JobRunView | None
    last: JobRunView | None
    succeeded_at: datetime | None


class JobHistoryView(msgspec.Struct):
    """One job and its newest runs."""

    job: JobView
    runs: list[JobRunView]


class StepView(msgspec.Struct):
    """One step that a job would run."""

    what: str
    reason: str
    estimate: str


class JobPlanView(msgspec.Struct):
    """What a job would do if it ran now."""

    steps: list[StepView]
    refused: str


class EventPageView(msgspec.Struct):
    """A page of events, and the cursor of the next one."""

    events: list[EventView]
    next: int | None


class MessageView(msgspec.Struct, kw_only=True):
    """One message of the outbox."""

    id: str
    kind: str
    channel: str
    subject: str
    state: str
    attempts: int
    created_at: datetime
    next_try_at: datetime
    sent_at: datetime | None
    error: str


class ReportView(msgspec.Struct, kw_only=True):
    """A report as data, and as text and HTML."""

    report: dict[str, Any]
    subject: str
    text: str
    html: str
