"""Values for tests: each builder gives a plain, valid one, and takes what a test is about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from trading_ops.domain.alert import Alert, AlertStatus, fingerprint_of
from trading_ops.domain.approval import Approval, ApprovalState, digest
from trading_ops.domain.attempt import Attempt, AttemptId, AttemptState, DeliverySemantics
from trading_ops.domain.decision import AlertState, AttemptHistory, GlobalLimits, World
from trading_ops.domain.gates import GateInput
from trading_ops.domain.incident import Incident
from trading_ops.domain.runbook import Limits, Runbook, RunbookStep, VerifyQuery
from trading_ops.domain.target import Kind, Manager, Registry, Restarts, Service, Target

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
LABELS = {
    "alertname": "BotSick",
    "bot": "alpha",
    "venue": "paper",
    "severity": "critical",
    "page_after": "5m",
}
WATCHDOG = {"alertname": "Watchdog", "severity": "none", "page_after": "never"}


def ago(seconds: float) -> datetime:
    """Return the moment so many seconds before NOW."""
    return NOW - timedelta(seconds=seconds)


def make_alert(**over: Any) -> Alert:
    """Return a firing alert of bot alpha."""
    labels = over.pop("labels", LABELS)
    values: dict[str, Any] = {
        "fingerprint": fingerprint_of(labels),
        "labels": labels,
        "annotations": {"summary": "A bot is sick."},
        "status": AlertStatus.FIRING,
        "starts_at": ago(10),
    }
    return Alert(**(values | over))


def make_incident(**over: Any) -> Incident:
    """Return an open incident of bot alpha."""
    values: dict[str, Any] = {
        "id": "incident-1",
        "fingerprint": fingerprint_of(LABELS),
        "alert": "BotSick",
        "target": "alpha",
        "labels": LABELS,
        "annotations": {},
        "starts_at": ago(10),
        "received_at": ago(9),
        "opened_at": ago(9),
    }
    return Incident(**(values | over))


def make_step(**over: Any) -> RunbookStep:
    """Return an idempotent step."""
    values: dict[str, Any] = {
        "action": "reconnect_broker",
        "timeout": timedelta(seconds=10),
        "verify_within": timedelta(seconds=15),
        "delivery": DeliverySemantics.IDEMPOTENT,
    }
    return RunbookStep(**(values | over))


ONE_SHOT = make_step(action="restart_bot", delivery=DeliverySemantics.ONE_SHOT)
SAFE = make_step(action="halt_trading", delivery=DeliverySemantics.SAFE_DIRECTION)


def make_runbook(**over: Any) -> Runbook:
    """Return a runbook with an idempotent step, then a one-shot."""
    values: dict[str, Any] = {
        "alert": "BotSick",
        "target_label": "bot",
        "page_after": "5m",
        "steps": (make_step(), ONE_SHOT),
        "limits": Limits(),
        "unless": ("VenueDown",),
        "verify": VerifyQuery(query='up{bot="$bot"} == 1', duration=timedelta(seconds=5)),
    }
    return Runbook(**(values | over))


def make_attempt(**over: Any) -> Attempt:
    """Return a failed attempt of the first step, a minute ago."""
    values: dict[str, Any] = {
        "id": AttemptId("attempt-1"),
        "incident_id": "incident-1",
        "runbook": "BotSick",
        "target": "alpha",
        "action": "reconnect_broker",
        "step": 0,
        "delivery": DeliverySemantics.IDEMPOTENT,
        "fence": 1,
        "state": AttemptState.FAILED,
        "started_at": ago(60),
        "ended_at": ago(55),
    }
    return Attempt(**(values | over))


def make_approval(**over: Any) -> Approval:
    """Return a pending request for the first step of the incident of bot alpha."""
    values: dict[str, Any] = {
        "id": "approval-1",
        "incident_id": "incident-1",
        "action": "reconnect_broker",
        "target": "alpha",
        "params": {},
        "requested_by": "reconciler",
        "requested_at": ago(30),
        "expires_at": NOW + timedelta(minutes=5),
        "state": ApprovalState.PENDING,
    } | over
    bound = {key: values[key] for key in ("incident_id", "action", "target", "params")}
    step = 0 if values["incident_id"] else None
    return Approval(**({"digest": digest(step=step, **bound)} | values))


def make_wanted(incident: Incident, **over: Any) -> GateInput:
    """Return the first step of an incident's runbook, with nothing against it."""
    runbook = over.pop("runbook", None) or make_runbook()
    values: dict[str, Any] = {
        "history": AttemptHistory(),
        "world": World(view=AlertState.FIRING),
        "limits": GlobalLimits(),
        "now": NOW,
    }
    return GateInput.of_runbook(incident, runbook, 0, **(values | over))


def make_target(**over: Any) -> Target:
    """Return bot alpha on venue paper."""
    values: dict[str, Any] = {
        "name": "alpha",
        "kind": Kind.BOT,
        "address": "127.0.0.1:8411",
        "venue": "paper",
        "service": Service(
            manager=Manager.SUPERVISOR, unit="bot-alpha", restarts=Restarts.RECONCILER
        ),
    }
    return Target(**(values | over))


def make_registry(**addresses: str) -> Registry:
    """Return the smallest whole registry; keywords give addresses by target name."""
    entries = {
        "paper": Kind.VENUE,
        "alpha": Kind.BOT,
        "reconciler": Kind.RECONCILER,
        "supervisor": Kind.SUPERVISOR,
        "prometheus": Kind.PROMETHEUS,
        "alertmanager": Kind.ALERTMANAGER,
        "oncall-mailbox": Kind.MAIL,
    }
    return Registry(
        tuple(
            make_target(
                name=name,
                kind=kind,
                address=addresses.get(name, f"127.0.0.1:{9000 + index}"),
                venue="paper" if kind is Kind.BOT else None,
                service=Service(manager=Manager.SUPERVISOR, unit=f"bot-{name}")
                if kind is Kind.BOT
                else None,
            )
            for index, (name, kind) in enumerate(entries.items())
        )
    )


@dataclass
class FixedSecrets:
    """What a directory of clients sends; `agents` by the name of the bot, else `agent`."""

    agent: str = "a"
    supervisor: str = "s"
    node: str = "n"
    freqtrade: str = "user:password"
    agents: Mapping[str, str] = field(default_factory=dict)

    def agent_token(self, bot: Target) -> str:
        return self.agents.get(bot.name, self.agent)

    def supervisor_token(self) -> str:
        return self.supervisor

    def node_token(self) -> str:
        return self.node

    def freqtrade_credentials_file(self, name: str) -> None:
        del name

    def freqtrade_credentials(self, name: str) -> str:
        del name
        return self.freqtrade
