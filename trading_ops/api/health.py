"""Health of the parts, from cached state: no handler waits for another system."""

import asyncio
import math
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from trading_ops import clock
from trading_ops.api.requests import not_found
from trading_ops.api.system import STUCK_SECONDS
from trading_ops.domain.alert import SEVERE
from trading_ops.domain.observation import AlertSnapshot
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import StoreError
from trading_ops.holds.agent_probe import ProbeState
from trading_ops.store import events
from trading_ops.store.reader import Reader

ANSWER_SECONDS = 0.05
PROBE_SECONDS = 1.0
"""Seconds for which the database's last answer is current."""

SILENT_SECONDS = 3.0
FREE_DEGRADED, FREE_FAILING = 1024**3, 100 * 1024**2
QUEUE_DEGRADED = 1000


Answer = TypeVar("Answer")


class ComponentState(StrEnum):
    """Health of a part."""

    OK = "ok"
    DEGRADED = "degraded"
    """It works with problems, or its state is stale."""

    FAILING = "failing"


class PartView(msgspec.Struct, kw_only=True):
    """One part."""

    name: str
    state: ComponentState
    detail: str
    age_seconds: float | None
    """Age of the underlying data in seconds; null: unknown."""


class HealthView(msgspec.Struct, kw_only=True):
    """The worst state of all parts, and each part."""

    state: ComponentState
    at: datetime
    parts: list[PartView]


@dataclass(frozen=True, kw_only=True)
class CachedState:
    """Sources of the cached state; no call does I/O."""

    passed_ago: Callable[[], float]
    poll_seconds: float
    snapshot: Callable[[], AlertSnapshot | None]
    probes: Callable[[], Iterable[ProbeState]]
    queue: Callable[[], int]


@dataclass
class HealthProbe(Generic[Answer]):
    """Runs a query that may hang, one at a time: a hung one blocks only one thread."""

    ask: Callable[[], asyncio.Task[Answer]]
    judge: Callable[[asyncio.Task[Answer], float], tuple[ComponentState, str]]
    """The state and its detail from the finished task and the seconds that it took."""

    _asking: asyncio.Task[Answer] | None = field(init=False, default=None)
    _asked_at: float = field(init=False, default=-math.inf)
    _last: tuple[ComponentState, str] = field(
        init=False, default=(ComponentState.FAILING, "not probed yet")
    )

    async def look(self) -> tuple[ComponentState, str, float]:
        """Return the state, its detail, and its age in seconds."""
        if self._asking is None:
            if clock.monotonic() - self._asked_at < PROBE_SECONDS:
                return (*self._last, clock.monotonic() - self._asked_at)
            self._asked_at = clock.monotonic()
            self._asking = self.ask()
        asking = self._asking  # other requests may be waiting for it
        await asyncio.wait({asking}, timeout=ANSWER_SECONDS)
        age = clock.monotonic() - self._asked_at
        if not asking.done():
            state = ComponentState.DEGRADED if age < PROBE_SECONDS else ComponentState.FAILING
            return state, f"no answer for {age:.1f} s", age
        if self._asking is asking:
            self._asking = None  # first, so that a judge that fails does not fail forever
            self._last = self.judge(asking, age)
        return (*self._last, age)


def _database(asking: asyncio.Task[int], took: float) -> tuple[ComponentState, str]:
    try:
        head = asking.result()
    except StoreError as error:
        return ComponentState.FAILING, str(error)
    return ComponentState.OK, f"answered in {1000 * took:.0f} ms; newest event {head}"


def disk_space(
    asking: asyncio.Task[tuple[int, int, int]], _took: float
) -> tuple[ComponentState, str]:
    """Judge a finished `shutil.disk_usage` by the free bytes."""
    try:
        total, _used, free = asking.result()
    except OSError as error:
        return ComponentState.FAILING, error.strerror or "cannot be read"
    state = ComponentState.OK
    if free < FREE_DEGRADED:
        state = ComponentState.FAILING if free < FREE_FAILING else ComponentState.DEGRADED
    share = 100 * free / total if total else 0.0
    return state, f"{free / 1e9:.1f} GB free ({share:.0f} %)"


class HealthRoutes:
    """Handlers of `health`."""

    def __init__(
        self, *, known: CachedState, reader: Reader, registry: Registry, var: Path
    ) -> None:
        self._known = known
        self._database = HealthProbe(lambda: reader.start(events.head), _database)
        self._disk = HealthProbe(
            lambda: asyncio.create_task(asyncio.to_thread(shutil.disk_usage, var)), disk_space
        )
        self._registry = registry

    async def show(self) -> HealthView:
        """Return the health of every part, and the worst of them."""
        parts = await self._parts()
        order = list(ComponentState)
        worst = max((part.state for part in parts), key=order.index)
        return HealthView(state=worst, at=clock.now(), parts=parts)

    async def part(self, component: str) -> PartView:
        """Return the health of a part, such as `database`, `scheduler`, `disk` or `venue:NAME`."""
        parts = {part.name: part for part in await self._parts()}
        if component not in parts:
            not_found(f"unknown part: use one of {', '.join(parts)}")
        return parts[component]

    async def _parts(self) -> list[PartView]:
        snapshot = self._known.snapshot()
        probes = {probe.target.name: probe for probe in self._known.probes()}
        return [
            await self._database_part(),
            self._scheduler(),
            _part("disk", *await self._disk.look()),
            self._prometheus(snapshot),
            self._alertmanager(snapshot),
            *(_venue(venue, snapshot) for venue in self._registry.of_kind(Kind.VENUE)),
            *(_agent(bot, probes.get(bot.name)) for bot in self._registry.bots),
        ]

    async def _database_part(self) -> PartView:
        state, detail, age = await self._database.look()
        waiting = self._known.queue()
        if waiting > QUEUE_DEGRADED and state is ComponentState.OK:
            state = ComponentState.DEGRADED
        return _part("database", state, f"{detail}; {waiting} queued writes", age)

    def _scheduler(self) -> PartView:
        ago = self._known.passed_ago()
        if math.isinf(ago):
            return _part("scheduler", ComponentState.FAILING, "no pass has finished yet", None)
        late = ago > 2 * self._known.poll_seconds + 1
        state = ComponentState.DEGRADED if late else ComponentState.OK
        if ago > max(STUCK_SECONDS, 3 * self._known.poll_seconds):
            state = ComponentState.FAILING
        return _part("scheduler", state, f"the last pass ended {ago:.1f} s ago", ago)

    def _prometheus(self, snapshot: AlertSnapshot | None) -> PartView:
        if snapshot is None:
            return _part("prometheus", ComponentState.FAILING, "not probed yet", None)
        age = _age(snapshot)
        if snapshot.prometheus is None:
            return _part(
                "prometheus", ComponentState.FAILING, "did not answer the last request", age
            )
        if not snapshot.prometheus.watchdog_seen:
            detail = "the Watchdog alert is not firing: rules are not evaluated"
            return _part("prometheus", ComponentState.FAILING, detail, age)
        detail = f"{len(snapshot.prometheus.alerts)} alerts in the last answer"
        return _part("prometheus", self._if_fresh(age), detail, age)

    def _alertmanager(self, snapshot: AlertSnapshot | None) -> PartView:
        if snapshot is None:
            return _part("alertmanager", ComponentState.FAILING, "not probed yet", None)
        age = _age(snapshot)
        if snapshot.alertmanager is None:
            return _part(
                "alertmanager", ComponentState.FAILING, "none answered the last request", age
            )
        detail = f"{len(snapshot.alertmanager)} alerts in the last answer"
        return _part("alertmanager", self._if_fresh(age), detail, age)

    def _if_fresh(self, age: float) -> ComponentState:
        return (
            ComponentState.DEGRADED if age > 3 * self._known.poll_seconds + 1 else ComponentState.OK
        )


def _venue(target: Target, snapshot: AlertSnapshot | None) -> PartView:
    """Return a venue's health, from the alerts that name it and no bot."""
    name = f"venue:{target.name}"
    if snapshot is None or snapshot.prometheus is None:
        return _part(name, ComponentState.DEGRADED, "unknown: Prometheus did not answer", None)
    about = [
        alert
        for alert in snapshot.prometheus.alerts.values()
        if alert.labels.get("venue") == target.name and not alert.labels.get("bot")
    ]
    firing = sorted({alert.name for alert in about if alert.firing})
    critical = any(alert.firing and alert.labels.get("severity") in SEVERE for alert in about)
    if firing:
        state = ComponentState.FAILING if critical else ComponentState.DEGRADED
        return _part(name, state, f"firing: {', '.join(firing)}", _age(snapshot))
    if about:
        pending = ", ".join(sorted({alert.name for alert in about}))
        return _part(name, ComponentState.DEGRADED, f"pending: {pending}", _age(snapshot))
    return _part(name, ComponentState.OK, "no active alerts", _age(snapshot))


def _agent(target: Target, probe: ProbeState | None) -> PartView:
    """Return the health that a bot's agent or a Freqtrade's API reports."""
    name = f"agent:{target.name}"
    if probe is None or probe.answered is None or probe.report is None:
        return _part(name, ComponentState.DEGRADED, "no answer since the reconciler started", None)
    age = (clock.now() - probe.answered).total_seconds()
    if age > SILENT_SECONDS:
        return _part(name, ComponentState.FAILING, f"no answer for {age:.1f} s", age)
    health = probe.report.health
    states = {"ok": ComponentState.OK, "degraded": ComponentState.DEGRADED}
    state = states.get(health.status, ComponentState.FAILING)
    return _part(name, state, f"reports {health.status}, {health.state}", age)


def _age(snapshot: AlertSnapshot) -> float:
    return (clock.now() - snapshot.at).total_seconds()


def _part(name: str, state: ComponentState, detail: str, age: float | None) -> PartView:
    rounded = None if age is None else round(max(age, 0.0), 3)
    return PartView(name=name, state=state, detail=detail, age_seconds=rounded)
