"""Each bot's agent is asked directly, every second: the one fact that no Prometheus is needed for.

What a silence means is decided by `domain.silence`, from what the service manager, the kernel and
Prometheus say. A bot that nothing shows to be at work is asked for a halt; when it answers in time,
the halt stands until a person releases it; when its process stays alive and mute, that process is
stopped through its service manager. What cannot be told apart from our own slowness is no silence.

A Freqtrade is asked in the same way, but its silence halts nothing: it has no thread apart that
could hear a halt while it is mute, and nobody tells a frozen one from one that is being restarted,
which takes it some seconds. Such a halt would come into force when all is over, after each
restart. People are told instead, by TradingBotDown or TradingBotAgentSilent.
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
"""The kind of the event that counts against the budget of stops, also after a restart."""

SPARED_BECAUSE = {
    Verdict.IMPOSTOR: "another user's process listens on its port",
    Verdict.WORKING: "Prometheus sees new heartbeats, so it trades; its agent must be repaired",
    Verdict.OVERLOADED: "its agent accepts connections and ends them unanswered: it is overloaded",
    Verdict.SPENT: "its process was stopped too often within an hour",
}
SHORTEST_REST = 0.2
"""Of the time between two polls, before the holds are kept up again."""

ASKED_SECONDS = 15.0
"""Within which each agent's answer, or its absence, must have been judged: many times the usual."""


class AgentWatch:
    """Watches every registered bot until cancelled."""

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
        """Take what is watched.

        `directory` and `prometheus` have a session that nothing else uses up; without Prometheus
        no heartbeat is known.
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
        """Watch, and keep the holds in force, until cancelled."""
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

        While the database does not answer, only the stops since the start are counted.
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
                # An event from the future, after a clock step, counts as one of this moment.
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
                    pulse.excuse(now)  # the deadline itself came late: we were held up
                else:
                    pulse.misses += 1
            await self._judge(pulse, now)
            pulse.judged_at = now
            return
        pulse.judged_at = clock.monotonic()
        if pulse.report is not None and pulse.report.asked_at > asked_at:
            return  # an answer to a later question was faster
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
            # Never heard: nobody knows which process is meant, so there is nothing to act on.
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
            said = f"{name} has not answered for {quiet:.0f} s; nothing is done to a Freqtrade"
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
            pulse.excuse(clock.monotonic())  # it was us who were held up
        if pulse.epoch == epoch:  # else it has answered meanwhile, or we were late
            await self._follow_up(pulse, silence, incarnation)

    async def _follow_up(self, pulse: Pulse, silence: Silence, incarnation: str | None) -> None:
        name, verdict = pulse.target.name, judge(silence, self._patience.bounds)
        if verdict in {Verdict.GONE, Verdict.STARTING}:
            # Nothing of it can trade. What starts next is its runbook's business, and begins as
            # free as it would without us.
            await self._withdraw(pulse, f"the process that was silent is {silence.life}")
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
        self._start(self._tell_once(pulse, "agent_silent", f"{name} is silent since {said}"))
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
        # Each stop is an event, also the second one of a silence: they are counted.
        await self._tell(pulse, STOPPED, f"{name} was alive and mute: {result.detail}")
        await self._withdraw(pulse, "its process was stopped before it could take the halt")

    async def _withdraw(self, pulse: Pulse, reason: str) -> None:
        """Take back a halt that never came into force, now that its process is gone."""
        if pulse.asked is None:
            return
        try:
            await self._holding.withdraw(pulse.target, pulse.asked, reason=reason)
        except (StoreError, TimeoutError) as error:
            log.warning("hold_not_withdrawn", hold=pulse.asked, error=str(error) or "too slow")
            return
        pulse.asked = None

    async def _keep_up(self, succeeded: Succeeded) -> None:
        """Settle what was journalled, and have every hold in force.

        Once a second, and at once when a process that has just started waits for its holds.
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
            except Exception:  # holds must be kept up, whatever one of them is like
                log.exception("holds_not_kept_up")

    def _all_asked(self) -> bool:
        """Whether every agent was asked a moment ago, and the answer or its absence judged."""
        since = clock.monotonic() - ASKED_SECONDS
        return all(pulse.judged_at > since for pulse in self.pulses.values())

    async def _reports(self) -> dict[str, Report]:
        """Return the latest answers; without those bots whose next life must not inherit a halt."""
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
            except Exception:  # one bot's trouble must not end the watch of the others
                log.exception("watch_crashed")

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _key(pulse: Pulse) -> str:
    """Return the id of the halt that is asked for because of the silence of what last answered."""
    return silence_id(pulse.target.name, str(pulse.incarnation))


def _add(connection: Connection, **fields: Any) -> None:
    events.add(connection, **fields)
