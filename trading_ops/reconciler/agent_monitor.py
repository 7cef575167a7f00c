"""Probes each bot's agent directly every second, independently of Prometheus.

`domain.silence` decides what a silent agent means, with evidence from the service manager, the
kernel and Prometheus. A bot without any sign of work is halted. If it answers in time, the halt
stays until an operator releases it; if its process stays alive but silent, the process is stopped
through its service manager. Delays that may be our own do not count as silence.

A Freqtrade is probed too, but a silent one is not halted: it has no separate thread that could
receive a halt, and a frozen one cannot be distinguished from one that restarts, which takes
seconds. The halt would take effect too late, after each restart. Instead TradingBotDown or
TradingBotAgentSilent notifies on-call.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

from trading_ops import clock, logs
from trading_ops.clients.directory import Directory
from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.hold import HeldState, is_machines, silence_id
from trading_ops.domain.silence import SPARED, Silence, Verdict, judge
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import Cut, StoreError, TradingOpsError
from trading_ops.reconciler.agent_probe import MISSES, Patience, Pulse
from trading_ops.reconciler.evidence import HOUR_SECONDS, Evidence
from trading_ops.reconciler.holds import MACHINE, Holding, Report
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.suppression import HandsOff
from trading_ops.reconciler.tasks import Succeeded, unwatched
from trading_ops.store import Connection, event_log, events
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

__all__ = ["AgentWatch", "Patience", "Pulse"]

log = logs.get(__name__)

WRITE_SECONDS = 1.0

STOPPED = "agent_stopped"
"""Event kind that counts against the budget of stops, also across restarts."""

SPARED_BECAUSE = {
    Verdict.IMPOSTOR: "a process of another user listens on its port",
    Verdict.WORKING: "Prometheus has new heartbeats, so it trades; its agent needs to be fixed",
    Verdict.OVERLOADED: "its agent accepts connections and closes them unanswered: overloaded",
    Verdict.SPENT: "its process was already stopped too often within an hour",
}
SHORTEST_REST = 0.2
"""Fraction of the poll interval before holds are enforced again."""

ASKED_SECONDS = 15.0
"""Seconds within which each agent's answer or timeout must be evaluated: far above normal."""


class AgentWatch:
    """Monitors every registered bot until cancelled."""

    def __init__(
        self,
        *,
        registry: Registry,
        directory: Directory,
        holding: Holding,
        hands_off: HandsOff,
        writer: Writer,
        reader: Reader,
        metrics: ReconcilerMetrics,
        prometheus: Prometheus | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Take the dependencies.

        `directory` and `prometheus` use their own HTTP session; without Prometheus no heartbeat is
        known.
        """
        self._directory = directory
        self._holding = holding
        self._hands_off = hands_off
        self._writer = writer
        self._reader = reader
        self._metrics = metrics
        self._patience = patience or Patience()
        self._evidence = Evidence(
            directory=directory, prometheus=prometheus, within=self._patience.answer
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[str] = set()
        self._confirmation_awaited = asyncio.Event()
        now = clock.monotonic()
        self.pulses = {
            target.name: Pulse(target=target, quiet_from=now) for target in registry.bots
        }
        for name in self.pulses:
            metrics.agent_silent.labels(name).set(0)
            metrics.agent_answered.labels(name).set(0)
        self._show()

    async def run(self, succeeded: Succeeded = unwatched) -> None:
        """Monitor the agents and enforce the holds until cancelled."""
        for pulse in self.pulses.values():
            pulse.quiet_from = pulse.judged_at = clock.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._recall_stops())
                group.create_task(self._keep_up(succeeded))
                for pulse in self.pulses.values():
                    group.create_task(self._follow(pulse))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _recall_stops(self) -> None:
        """Count the stops of the last hour against the budget: the reconciler may have restarted.

        While the database does not answer, only stops since the start count.
        """
        while True:
            since = clock.now() - timedelta(seconds=HOUR_SECONDS)
            read = partial(event_log.told_by_target, kind=STOPPED, since=since)
            try:
                told = await self._reader.read(read)
            except StoreError as error:
                log.warning("stops_not_read", error=str(error))
                await asyncio.sleep(self._patience.poll)
                continue
            now, now_monotonic = clock.now(), clock.monotonic()
            for name, pulse in self.pulses.items():
                ages = [(now - at).total_seconds() for at in told.get(name, [])]
                # An event from the future, after a clock step, counts as now.
                stops = [now_monotonic - max(0.0, age) for age in ages]
                pulse.stops = max(pulse.stops, stops, key=len)
            return

    async def _follow(self, pulse: Pulse) -> None:
        patience = self._patience
        while True:
            self._start(self._poll(pulse))
            rest = patience.poll if pulse.misses == 0 else patience.poll / 2
            due = clock.monotonic() + rest
            await asyncio.sleep(rest)
            if clock.monotonic() - due > patience.late:
                pulse.excuse(clock.monotonic())

    async def _poll(self, pulse: Pulse) -> None:
        epoch, asked_at = pulse.epoch, clock.monotonic()
        try:
            async with asyncio.timeout(pulse.answer_within(self._patience)):
                health = await self._directory.bot(pulse.target).health()
        except (TradingOpsError, TimeoutError) as error:
            now = clock.monotonic()
            if pulse.epoch == epoch:
                pulse.cut = isinstance(error, Cut)
                within = pulse.answer_within(self._patience)
                if now - asked_at > within + self._patience.late:
                    pulse.excuse(now)  # the deadline itself was late: the delay is ours
                else:
                    pulse.misses += 1
            await self._judge(pulse, now)
            pulse.judged_at = now
            return
        pulse.judged_at = clock.monotonic()
        if pulse.report is not None and pulse.report.asked_at > asked_at:
            return  # a later probe was answered first
        silent = pulse.told.copy()
        pulse.hears(health, asked_at, clock.monotonic())
        name = pulse.target.name
        self._metrics.agent_silent.labels(name).set(0)
        self._metrics.agent_answered.labels(name).set(clock.timestamp())
        if health.awaiting_holds:
            self._confirmation_awaited.set()
        if silent:
            await self._tell(pulse, "agent_answered", f"{name} answers again")

    async def _judge(self, pulse: Pulse, now: float) -> None:
        patience, quiet = self._patience, now - pulse.quiet_from
        if pulse.incarnation is None:
            # No answer ever: the process is unknown, so there is nothing to act on.
            if quiet >= patience.unknown:
                self._metrics.agent_silent.labels(pulse.target.name).set(1)
            return
        if pulse.misses < MISSES or quiet < (patience.silence or Patience.silence):
            return
        self._metrics.agent_silent.labels(pulse.target.name).set(1)
        if patience.silence and pulse.target.name not in self._busy:
            self._busy.add(pulse.target.name)
            try:
                await self._act(pulse, quiet)
            finally:
                self._busy.discard(pulse.target.name)

    async def _act(self, pulse: Pulse, quiet: float) -> None:
        name, epoch = pulse.target.name, pulse.epoch
        if pulse.target.kind is not Kind.BOT:
            said = f"{name} has not answered for {quiet:.0f} s; no action on a Freqtrade"
            await self._tell_once(pulse, "agent_silent", said)
            return
        held_back = self._hands_off.why(pulse.target, clock.now())
        if held_back is not None:
            reason, whose = held_back
            text = f"{name} is silent: would have halted it; blocked: {reason} {whose}"
            if await self._tell_once(pulse, "decided_wait", text, reason=reason):
                self._metrics.decisions.labels("wait", reason).inc()
            return
        began = clock.monotonic()
        silence, incarnation = await self._evidence.collect(
            pulse, quiet, halt_in_force=self._holding.is_acknowledged(_key(pulse))
        )
        if clock.monotonic() - began > 2 * self._patience.answer + self._patience.late:
            pulse.excuse(clock.monotonic())  # the delay was ours
        if pulse.epoch == epoch:  # otherwise it has answered, or we were late
            await self._follow_up(pulse, silence, incarnation)

    async def _follow_up(self, pulse: Pulse, silence: Silence, incarnation: str | None) -> None:
        name, verdict = pulse.target.name, judge(silence, self._patience.bounds)
        if verdict in {Verdict.GONE, Verdict.STARTING}:
            # It cannot trade. The runbook handles the next process, which starts without a hold.
            await self._withdraw(pulse, f"the silent process is {silence.life}")
        elif verdict in SPARED and silence.quiet >= self._patience.stop:
            said = f"{name} has not answered for {silence.quiet:.0f} s: {SPARED_BECAUSE[verdict]}"
            await self._tell_once(pulse, "agent_spared", said)
        elif verdict is Verdict.HALT:
            await self._ask_for_halt(pulse)
        elif verdict is Verdict.STOP and incarnation is not None:
            await self._stop(pulse, incarnation)

    async def _ask_for_halt(self, pulse: Pulse) -> None:
        name, since = pulse.target.name, pulse.answered
        said = since.isoformat(timespec="milliseconds") if since else "its start"
        pulse.asked = _key(pulse)
        pulse.asked_of = pulse.incarnation
        self._start(self._tell_once(pulse, "agent_silent", f"{name} has been silent since {said}"))
        laid = await self._holding.lay(
            pulse.target,
            HeldState.HALTED,
            owner=MACHINE,
            reason=f"its agent has not answered since {said}",
            key=pulse.asked,
        )
        log.warning("agent_silent", target=name, since=said, acknowledged=laid.acknowledged)

    async def _stop(self, pulse: Pulse, incarnation: str) -> None:
        name, patience = pulse.target.name, self._patience
        try:
            result = await self._directory.unit(pulse.target).stop(
                incarnation=incarnation,
                attempt_id=f"stop-silent-{name}-{incarnation}",
                fence=self._holding.fence(pulse.target),
                grace=timedelta(seconds=patience.grace),
                within=timedelta(seconds=patience.grace + 2 * patience.answer),
            )
        except TradingOpsError as error:
            log.error("silent_process_not_stopped", target=name, error=str(error))  # noqa: TRY400
            return
        pulse.stops.append(clock.monotonic())
        log.warning("silent_process_stopped", target=name, detail=result.detail)
        # Each stop is an event, including the second of one silence: they are counted.
        await self._tell(pulse, STOPPED, f"{name} was alive but silent: {result.detail}")
        await self._withdraw(pulse, "its process was stopped before the halt was in force")

    async def _withdraw(self, pulse: Pulse, reason: str) -> None:
        """Withdraw a halt that was never in force, now that its process is gone."""
        if pulse.asked is None:
            return
        try:
            await self._holding.withdraw(pulse.target, pulse.asked, reason=reason)
        except (StoreError, TimeoutError) as error:
            log.warning("hold_not_withdrawn", hold=pulse.asked, error=str(error) or "too slow")
            return
        pulse.asked = None

    async def _keep_up(self, succeeded: Succeeded) -> None:
        """Store journaled holds, and enforce every hold.

        Every second, and immediately when a new process waits for its holds.
        """
        while True:
            await asyncio.sleep(self._patience.poll * SHORTEST_REST)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience.poll * (1 - SHORTEST_REST)):
                    await self._confirmation_awaited.wait()
            self._confirmation_awaited.clear()
            try:
                await self._hands_off.refresh()
                await self._holding.settle_journal()
                await self._holding.enforce(await self._reports())
                self._show()
                if self._all_asked():
                    succeeded()
            except Exception:  # one bad hold must not block the others
                log.exception("holds_not_kept_up")

    def _all_asked(self) -> bool:
        """Whether every agent was probed recently and the result evaluated."""
        since = clock.monotonic() - ASKED_SECONDS
        return all(pulse.judged_at > since for pulse in self.pulses.values())

    async def _reports(self) -> dict[str, Report]:
        """Return the latest answers, without bots whose next process must not inherit a halt."""
        fresh = clock.monotonic() - 2 * self._patience.poll - self._patience.answer
        reports = {}
        for name, pulse in self.pulses.items():
            if pulse.asked is not None and self._holding.is_acknowledged(pulse.asked):
                pulse.asked = None
            if pulse.asked is not None and pulse.incarnation != pulse.asked_of:
                await self._withdraw(pulse, "another process answers now")
                if pulse.asked is not None:
                    continue
            if pulse.report is not None and pulse.report.asked_at > fresh:
                reports[name] = pulse.report
        return reports

    def _show(self) -> None:
        counts = {
            (name, state, by): 0
            for name in self.pulses
            for state in HeldState
            for by in ("person", "machine")
        }
        unregistered: Counter[str] = Counter()
        for hold in self._holding.standing:
            if hold.target not in self.pulses:
                unregistered[hold.target] += 1
            key = (hold.target, hold.state, "machine" if is_machines(hold) else "person")
            if key in counts:
                counts[key] += 1
        for labels, count in counts.items():
            self._metrics.holds_standing.labels(*labels).set(count)
        self._metrics.holds_unregistered.clear()
        for name, count in unregistered.items():
            self._metrics.holds_unregistered.labels(name).set(count)
        self._metrics.holds_unsettled.set(self._holding.unsettled)

    async def _tell_once(self, pulse: Pulse, kind: str, text: str, *, reason: str = "") -> bool:
        if kind in pulse.told:
            return False
        pulse.told.add(kind)
        await self._tell(pulse, kind, text, reason=reason)
        return True

    async def _tell(self, pulse: Pulse, kind: str, text: str, *, reason: str = "") -> None:
        after = {"target": pulse.target.name, "incarnation": pulse.incarnation}
        add: Callable[[Connection], None] = partial(
            _add, at=clock.now(), kind=kind, note=text, reason=reason, after=after
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


def _key(pulse: Pulse) -> str:
    """Return the id of the halt for a silence of the incarnation that last answered."""
    return silence_id(pulse.target.name, str(pulse.incarnation))


def _add(connection: Connection, **fields: Any) -> None:
    events.add(connection, **fields)
