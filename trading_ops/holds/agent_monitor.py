"""Probes each bot's agent directly every second, independently of Prometheus.

`domain.agent_liveness` decides what an unresponsive agent means, with evidence from the service
manager, the kernel and Prometheus. A bot without any sign of work is halted. If it answers in time,
the halt stays until an operator releases it; if its process stays alive but unresponsive, it is
stopped through its service manager. Delays that may be our own do not count.

A Freqtrade is probed too, but an unresponsive one is not halted: it has no separate thread that
could receive a halt, and a frozen one cannot be distinguished from one that restarts, which takes
seconds. The halt would take effect too late, after each restart. Instead TradingBotDown or
TradingBotAgentUnresponsive notifies on-call.
"""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

from trading_ops import clock, logs
from trading_ops.clients.directory import Directory
from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.agent_liveness import (
    NOT_STOPPED,
    AgentEvidence,
    LivenessVerdict,
    PortOwner,
    classify,
)
from trading_ops.domain.hold import RECONCILER, HeldState, is_automatic, unresponsive_halt_id
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import Cut, NotListening, StoreError, TradingOpsError
from trading_ops.holds.agent_probe import (
    HOUR_SECONDS,
    MISSES,
    Evidence,
    ProbeState,
    ProbeTimeouts,
)
from trading_ops.holds.holds import AgentReport, HoldManager
from trading_ops.holds.suppression import Suppression
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.store import Connection, events
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer
from trading_ops.tasks import Succeeded, unwatched

log = logs.get(__name__)

WRITE_SECONDS = 1.0

STOPPED = "agent_stopped"
"""Event kind that counts against the budget of stops, also across restarts."""

WHY_NOT_STOPPED = {
    LivenessVerdict.IMPOSTOR: "a process of another user listens on its port",
    LivenessVerdict.WORKING: "Prometheus has new heartbeats, so it trades; fix its agent",
    LivenessVerdict.OVERLOADED: "its agent is overloaded: it closes connections unanswered",
    LivenessVerdict.CLOSED: "its host refuses connections; no service manager shows its process",
    LivenessVerdict.SPENT: "its process was already stopped too often within an hour",
}
SHORTEST_REST = 0.2
"""Fraction of the poll interval before holds are enforced again."""

EVALUATED_WITHIN_SECONDS = 15.0
"""Seconds within which each agent's answer or timeout must be evaluated: far above normal."""


class AgentMonitor:
    """Monitors every registered bot until cancelled."""

    def __init__(
        self,
        *,
        registry: Registry,
        directory: Directory,
        holding: HoldManager,
        suppression: Suppression,
        writer: Writer,
        reader: Reader,
        metrics: ReconcilerMetrics,
        prometheus: Prometheus | None = None,
        timeouts: ProbeTimeouts | None = None,
    ) -> None:
        """Set the dependencies.

        `directory` and `prometheus` use their own HTTP session; without Prometheus no heartbeat is
        known.
        """
        self._directory = directory
        self._holding = holding
        self._suppression = suppression
        self._writer = writer
        self._reader = reader
        self._metrics = metrics
        self._timeouts = timeouts or ProbeTimeouts()
        self._evidence = Evidence(
            directory=directory, prometheus=prometheus, within=self._timeouts.answer
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[str] = set()
        self._confirmation_awaited = asyncio.Event()
        self._exported: Counter[tuple[str, HeldState, str]] = Counter()
        now = clock.monotonic()
        self.probes = {
            target.name: ProbeState(target=target, quiet_from=now) for target in registry.bots
        }
        for name in self.probes:
            metrics.agents.unresponsive.labels(name).set(0)
            metrics.agents.answered.labels(name).set(0)
            for state, by in itertools.product(HeldState, ("person", "machine")):
                metrics.agents.holds_active.labels(name, state, by).set(0)
        self._export()

    async def run(self, succeeded: Succeeded = unwatched) -> None:
        """Monitor the agents and enforce the holds until cancelled."""
        for probe in self.probes.values():
            probe.quiet_from = probe.evaluated_at = clock.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._recall_stops())
                group.create_task(self._enforce_holds(succeeded))
                for number, probe in enumerate(self.probes.values()):
                    share = number / len(self.probes)  # not all at once
                    group.create_task(self._follow(probe, share * self._timeouts.poll))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._directory.close()

    async def _recall_stops(self) -> None:
        """Count the stops of the last hour against the budget: the reconciler may have restarted.

        While the database does not answer, only stops since the start count.
        """
        while True:
            since = clock.now() - timedelta(seconds=HOUR_SECONDS)
            read = partial(events.times_by_target, kind=STOPPED, since=since)
            try:
                stored = await self._reader.read(read)
            except StoreError as error:
                log.warning("stops_not_read", error=str(error))
                await asyncio.sleep(self._timeouts.poll)
                continue
            now, now_monotonic = clock.now(), clock.monotonic()
            for name, probe in self.probes.items():
                ages = [(now - at).total_seconds() for at in stored.get(name, [])]
                # An event from the future, after a clock step, counts as now.
                stops = [now_monotonic - max(0.0, age) for age in ages]
                probe.stops = max(probe.stops, stops, key=len)
            return

    async def _follow(self, probe: ProbeState, first_after: float) -> None:
        timeouts = self._timeouts
        await asyncio.sleep(first_after)
        while True:
            self._start(self._poll(probe))
            rest = timeouts.poll if probe.misses == 0 else timeouts.poll / 2
            due = clock.monotonic() + rest
            await asyncio.sleep(rest)
            if clock.monotonic() - due > timeouts.late:
                probe.restart_timer(clock.monotonic())

    async def _poll(self, probe: ProbeState) -> None:
        epoch, asked_at = probe.epoch, clock.monotonic()
        try:
            async with asyncio.timeout(probe.answer_within(self._timeouts)):
                health = await self._directory.health(probe.target)
        except (TradingOpsError, TimeoutError) as error:
            now = clock.monotonic()
            if probe.epoch == epoch:
                probe.cut = isinstance(error, Cut)
                probe.refused = isinstance(error, NotListening)
                within = probe.answer_within(self._timeouts)
                if now - asked_at > within + self._timeouts.late:
                    probe.restart_timer(now)  # the deadline itself was late: the delay is ours
                else:
                    probe.misses += 1
                    _log_failure(probe, error)
            await self._evaluate(probe, now)
            probe.evaluated_at = now
            return
        probe.evaluated_at = clock.monotonic()
        if probe.report is not None and probe.report.asked_at > asked_at:
            return  # a later probe was answered first
        was_unresponsive = probe.recorded.copy()
        probe.record_answer(health, asked_at, clock.monotonic())
        name = probe.target.name
        self._metrics.agents.unresponsive.labels(name).set(0)
        self._metrics.agents.answered.labels(name).set(clock.timestamp())
        if health.awaiting_holds:
            self._confirmation_awaited.set()
        if was_unresponsive:
            await self._record(probe, "agent_answered", f"{name} answers again")

    async def _evaluate(self, probe: ProbeState, now: float) -> None:
        timeouts, quiet = self._timeouts, now - probe.quiet_from
        if probe.incarnation is None:
            # No answer ever: the process is unknown, so there is nothing to act on.
            if quiet >= timeouts.unknown:
                self._metrics.agents.unresponsive.labels(probe.target.name).set(1)
            return
        if probe.misses < MISSES or quiet < (timeouts.halt or ProbeTimeouts.halt):
            return
        self._metrics.agents.unresponsive.labels(probe.target.name).set(1)
        if timeouts.halt and probe.target.name not in self._busy:
            self._busy.add(probe.target.name)
            try:
                await self._handle_unresponsive(probe, quiet)
            finally:
                self._busy.discard(probe.target.name)

    async def _handle_unresponsive(self, probe: ProbeState, quiet: float) -> None:
        name, epoch = probe.target.name, probe.epoch
        if probe.target.kind is not Kind.BOT:
            text = f"{name} has not answered for {quiet:.0f} s; no action on a Freqtrade"
            await self._record_once(probe, "agent_unresponsive", text)
            return
        suppressed = self._suppression.why(probe.target, clock.now())
        if suppressed is not None:
            reason = suppressed.reason
            text = f"{name} is unresponsive: would have halted it; blocked: {suppressed}"
            if await self._record_once(probe, "decided_wait", text, reason=reason):
                self._metrics.decisions.labels("wait", reason).inc()
            return
        began = clock.monotonic()
        evidence, incarnation = await self._evidence.collect(
            probe, quiet, halt_in_force=self._holding.is_acknowledged(_key(probe))
        )
        if clock.monotonic() - began > 2 * self._timeouts.answer + self._timeouts.late:
            probe.restart_timer(clock.monotonic())  # the delay was ours
        if probe.epoch == epoch:  # otherwise it has answered, or we were late
            await self._respond(probe, evidence, incarnation)

    async def _respond(
        self, probe: ProbeState, evidence: AgentEvidence, incarnation: str | None
    ) -> None:
        name, verdict = probe.target.name, classify(evidence, self._timeouts.bounds)
        if verdict in {LivenessVerdict.GONE, LivenessVerdict.STARTING}:
            # It cannot trade. The runbook handles the next process, which starts without a hold.
            closed = evidence.listener is PortOwner.NONE
            why = "its port is closed" if closed else f"the unresponsive process is {evidence.life}"
            await self._withdraw(probe, why)
        elif verdict in NOT_STOPPED and evidence.unanswered_for >= self._timeouts.stop:
            seconds, why = evidence.unanswered_for, WHY_NOT_STOPPED[verdict]
            text = f"{name} has not answered for {seconds:.0f} s: {why}"
            await self._record_once(probe, "agent_not_stopped", text)
        elif verdict is LivenessVerdict.HALT:
            await self._request_halt(probe)
        elif verdict is LivenessVerdict.STOP and incarnation is not None:
            await self._stop(probe, incarnation)

    async def _request_halt(self, probe: ProbeState) -> None:
        name, since = probe.target.name, probe.answered
        since_text = since.isoformat(timespec="milliseconds") if since else "its start"
        probe.requested_hold = _key(probe)
        probe.requested_for = probe.incarnation
        self._start(
            self._record_once(
                probe, "agent_unresponsive", f"{name} has not answered since {since_text}"
            )
        )
        placed = await self._holding.place(
            probe.target,
            HeldState.HALTED,
            owner=RECONCILER,
            reason=f"its agent has not answered since {since_text}",
            key=probe.requested_hold,
        )
        log.warning(
            "agent_unresponsive", target=name, since=since_text, acknowledged=placed.acknowledged
        )

    async def _stop(self, probe: ProbeState, incarnation: str) -> None:
        name, timeouts = probe.target.name, self._timeouts
        try:
            result = await self._directory.unit(probe.target).stop(
                incarnation=incarnation,
                attempt_id=f"stop-unresponsive-{name}-{incarnation}",
                fence=self._holding.fence(probe.target),
                grace=timedelta(seconds=timeouts.grace),
                within=timedelta(seconds=timeouts.grace + 2 * timeouts.answer),
            )
        except TradingOpsError as error:
            log.error("unresponsive_process_not_stopped", target=name, error=str(error))  # noqa: TRY400
            return
        probe.stops.append(clock.monotonic())
        log.warning("unresponsive_process_stopped", target=name, detail=result.detail)
        # Each stop is an event, including the second without an answer between: they are counted.
        await self._record(probe, STOPPED, f"{name} was alive but unresponsive: {result.detail}")
        await self._withdraw(probe, "its process was stopped before the halt was in force")

    async def _withdraw(self, probe: ProbeState, reason: str) -> None:
        """Withdraw a halt that was never in force, now that its process is gone."""
        if probe.requested_hold is None:
            return
        try:
            await self._holding.withdraw(probe.target, probe.requested_hold, reason=reason)
        except (StoreError, TimeoutError) as error:
            log.warning(
                "hold_not_withdrawn", hold=probe.requested_hold, error=str(error) or "too slow"
            )
            return
        probe.requested_hold = None

    async def _enforce_holds(self, succeeded: Succeeded) -> None:
        """Store journaled holds, and enforce every hold.

        Every second, and immediately when a new process waits for its holds.
        """
        while True:
            await asyncio.sleep(self._timeouts.poll * SHORTEST_REST)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timeouts.poll * (1 - SHORTEST_REST)):
                    await self._confirmation_awaited.wait()
            self._confirmation_awaited.clear()
            try:
                await self._suppression.refresh()
                await self._holding.settle_journal()
                await self._holding.enforce(await self._reports())
                self._export()
                if self._all_evaluated():
                    succeeded()
            except Exception:  # one bad hold must not block the others
                log.exception("holds_sync_failed")

    def _all_evaluated(self) -> bool:
        """Whether every agent was probed recently and the result evaluated."""
        since = clock.monotonic() - EVALUATED_WITHIN_SECONDS
        return all(probe.evaluated_at > since for probe in self.probes.values())

    async def _reports(self) -> dict[str, AgentReport]:
        """Return the latest answers, without bots whose next process must not inherit a halt."""
        fresh = clock.monotonic() - 2 * self._timeouts.poll - self._timeouts.answer
        reports = {}
        for name, probe in self.probes.items():
            if probe.requested_hold is not None and self._holding.is_acknowledged(
                probe.requested_hold
            ):
                probe.requested_hold = None
            if probe.requested_hold is not None and probe.incarnation != probe.requested_for:
                await self._withdraw(probe, "another process answers now")
                if probe.requested_hold is not None:
                    continue
            if probe.report is not None and probe.report.asked_at > fresh:
                reports[name] = probe.report
        return reports

    def _export(self) -> None:
        counts: Counter[tuple[str, HeldState, str]] = Counter()
        unregistered: Counter[str] = Counter()
        for hold in self._holding.active:
            if hold.target not in self.probes:
                unregistered[hold.target] += 1
            else:
                by = "machine" if is_automatic(hold) else "person"
                counts[hold.target, hold.state, by] += 1
        for labels in counts.keys() | self._exported.keys():
            if counts[labels] != self._exported[labels]:
                self._metrics.agents.holds_active.labels(*labels).set(counts[labels])
        self._exported = counts
        self._metrics.agents.holds_unregistered.clear()
        for name, count in unregistered.items():
            self._metrics.agents.holds_unregistered.labels(name).set(count)
        self._metrics.agents.holds_not_stored.set(self._holding.unsettled)

    async def _record_once(
        self, probe: ProbeState, kind: str, text: str, *, reason: str = ""
    ) -> bool:
        if kind in probe.recorded:
            return False
        probe.recorded.add(kind)
        await self._record(probe, kind, text, reason=reason)
        return True

    async def _record(self, probe: ProbeState, kind: str, text: str, *, reason: str = "") -> None:
        after = {"target": probe.target.name, "incarnation": probe.incarnation}
        add: Callable[[Connection], None] = partial(
            events.add, at=clock.now(), kind=kind, note=text, reason=reason, after=after
        )
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._writer.run(add)
        except (StoreError, TimeoutError) as error:
            log.warning("event_not_stored", kind=kind, note=text, error=str(error) or "too slow")

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        async def guarded() -> None:
            try:
                await work
            except Exception:  # one failing bot must not stop the monitoring of the others
                log.exception("watch_crashed")

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _log_failure(probe: ProbeState, error: Exception) -> None:
    """Log why the agent does not answer, once for each silence."""
    if probe.misses >= MISSES and not probe.failure_logged:
        probe.failure_logged = True
        log.warning("agent_probe_failed", target=probe.target.name, error=str(error) or "timeout")


def _key(probe: ProbeState) -> str:
    """Return the id of the halt for a silence of the incarnation that last answered."""
    return unresponsive_halt_id(probe.target.name, str(probe.incarnation))
