"""A drill in progress: what Prometheus shows and the reconciler has stored so far."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trading_ops import clock
from trading_ops.clients.reconciler_views import IncidentView, TimelineView
from trading_ops.domain.runbook import Drill, Runbook
from trading_ops.domain.target import Target
from trading_ops.errors import ClientError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.preflight import OWNER, TICK_SECONDS, Say
from trading_ops_lab.drills.timeline import Mark, marks
from trading_ops_lab.faults.base import Fault

RECOVERY_AFTER_PAUSE = timedelta(seconds=90)


@dataclass(frozen=True, kw_only=True)
class DrillResult:
    """How one drill ended."""

    alert: str
    target: str
    fault: str
    broken: str = ""
    """Description of the fault."""

    page_only: bool = False
    """Whether the alert is page-only: it must be detected, and no action may run."""

    escalated: bool = False
    """Whether no step can fix it, so that it must be escalated to on-call."""

    paused: bool
    silenced: bool = False
    """Whether the alert was silenced in Alertmanager before, so that no action runs."""

    during: str = ""
    """The alert that fired first and suppressed remediation; empty: none."""

    passed: bool
    not_possible: bool = False
    """Whether it was skipped because this machine lacks a prerequisite, named in `problem`."""

    notifications_blocked: bool = False
    """Whether the fault stops the reconciler or Alertmanager: no notifications until it ends."""

    problem: str = ""
    """Why it did not pass."""

    limit_seconds: float
    total_seconds: float | None = None
    """From the injection to the end of the incident; None: it did not end in time."""

    incident: str = ""
    evidence: str = ""
    reasons: list[str] = field(default_factory=list)
    """Stored reasons why no action ran; only with automation paused."""

    timeline: list[Mark] = field(default_factory=list)


@dataclass(kw_only=True)
class Following:
    """One drill in progress."""

    scene: Scene
    runbook: Runbook
    drill: Drill
    fault: Fault
    bot: Target
    say: Say
    during: Runbook | None = None
    """Of the suppressing alert."""

    key: str = ""
    """Key for cleaning up the fault."""

    injected: datetime = field(default_factory=clock.now)
    detected: datetime | None = None
    fires: bool = False
    """Whether the alert fires in Prometheus."""

    timeline: TimelineView | None = None
    printed: set[Mark] = field(default_factory=set)
    silenced: bool = False
    paused_by: int | None = None
    silenced_by: str | None = None
    extra: list[Mark] = field(default_factory=list)
    """What the drill itself did, in addition to the incident timeline."""

    @property
    def subject(self) -> str | None:
        """Return the subject of the alert, the bot or its venue; None: there is only one."""
        subjects = {"bot": self.bot.name, "venue": self.bot.venue}
        return subjects.get(self.runbook.target_label)

    @property
    def limit(self) -> timedelta:
        """From the injection to the end of the incident, without the suppressing alert."""
        first = self.during.drill if self.during else None
        return self.drill.recover_within + (first.recover_within if first else timedelta())

    def result(self, *, paused: bool, passed: bool, problem: str = "") -> DrillResult:
        """Return the drill's result so far."""
        closed = self.timeline.incident.closed_at if self.timeline else None
        return DrillResult(
            alert=self.runbook.alert,
            target=self.bot.name,
            fault=self.drill.fault,
            broken=self.fault.describe,
            page_only=not self.runbook.steps,
            escalated=self.fault.needs_operator,
            notifications_blocked=self.fault.blocks_notifications,
            paused=paused,
            silenced=self.silenced,
            during=self.during.alert if self.during else "",
            passed=passed,
            problem=problem,
            limit_seconds=self.limit.total_seconds(),
            total_seconds=(closed - self.injected).total_seconds() if closed else None,
            incident=self.timeline.incident.id if self.timeline else "",
            timeline=self.marks(),
        )

    def marks(self) -> list[Mark]:
        """Return the timeline so far."""
        if self.timeline is None:
            return [Mark(stage="injected", seconds=0.0), *self.extra]
        every = [*marks(self.injected, self.detected, self.timeline), *self.extra]
        return sorted(every, key=lambda mark: mark.seconds)

    def note(self, stage: str, note: str, at: datetime | None = None) -> None:
        """Add an entry: now, or at a given time."""
        seconds = ((at or clock.now()) - self.injected).total_seconds()
        self.extra.append(Mark(stage=stage, seconds=seconds, note=note))

    async def pause(self) -> None:
        """Pause automation for the duration of the drill."""
        seconds = (self.drill.recover_within + RECOVERY_AFTER_PAUSE).total_seconds()
        reason = f"drill {self.runbook.alert}"
        self.paused_by = await self.scene.reconciler.pause(
            owner=OWNER, reason=reason, seconds=seconds
        )

    async def silence(self) -> None:
        """Silence the alert in Alertmanager for the duration of the drill, like an operator."""
        now = clock.now()
        self.silenced = True
        self.silenced_by = await self.scene.alertmanager.silence(
            {"alertname": self.runbook.alert, self.runbook.target_label: self.bot.name},
            starts=now,
            ends=now + self.drill.recover_within + RECOVERY_AFTER_PAUSE,
            owner=OWNER,
            comment=f"drill {self.runbook.alert}",
        )

    async def resume(self) -> None:
        """End the drill's own pause or silence, but not an operator's."""
        if self.silenced_by is not None:
            await self.scene.alertmanager.expire(self.silenced_by)
            self.silenced_by = None
        if self.paused_by is not None:
            await self.scene.reconciler.resume(owner=OWNER, only=self.paused_by)
            self.paused_by = None
            seconds = (clock.now() - self.injected).total_seconds()
            self.say(Mark(stage="resumed", seconds=seconds, note="automation may remediate it now"))

    async def follow(self) -> None:
        """Poll Prometheus and the incident once, and report what is new."""
        try:
            if not self.fires and (self.detected is None or self.fault.blocks_notifications):
                await self._look_for_detection()
            if self.timeline is None or self.timeline.incident.closed_at is None:
                await self._read_timeline()
        except ClientError:
            return  # a drill may kill what it polls; the deadline decides
        for mark in self.marks():
            if mark not in self.printed:
                self.printed.add(mark)
                self.say(mark)

    async def until(self, reached: Callable[["Following"], bool], deadline: datetime) -> bool:
        """Follow it until a condition is true; return whether that was before the deadline."""
        while clock.now() < deadline:
            await self.follow()
            if reached(self):
                return True
            await asyncio.sleep(TICK_SECONDS)
        return False

    async def _look_for_detection(self) -> None:
        view = await self.scene.prometheus.view()
        for alert in view.alerts.values():
            named = alert.labels.get(self.runbook.target_label)
            concerns = self.subject is None or named in {None, self.subject}
            if alert.name == self.runbook.alert and concerns and alert.active_at >= self.injected:
                self.detected = alert.active_at
                self.fires = alert.firing

    async def _read_timeline(self) -> None:
        incident = self.timeline.incident if self.timeline else await self._find_incident()
        if incident is not None:
            self.timeline = await self.scene.reconciler.timeline(incident.id)

    async def _find_incident(self) -> IncidentView | None:
        found = await self.scene.reconciler.incidents(
            alertname=self.runbook.alert, since=str(self.injected.timestamp())
        )
        about = {None, self.subject}
        mine = [incident for incident in found if self.subject is None or incident.target in about]
        return mine[-1] if mine else None
