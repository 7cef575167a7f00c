"""Records decisions with their reason: in the timeline of the incident, the metrics and the log.

A decision that equals the incident's last one is not recorded again. The decisions of a pass are
stored together: a storm needs a few transactions, not thousands.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from trading_ops import clock, logs
from trading_ops.domain.decision import Close, Decision, Escalate, Reason, Wait
from trading_ops.domain.incident import Incident
from trading_ops.errors import TradingOpsError
from trading_ops.reconciler.lease import Leases, key_of
from trading_ops.reconciler.metrics import ReconcilerMetrics, kind_of
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.store import Connection, claims, events, failpoints
from trading_ops.store.failpoints import Failpoint
from trading_ops.store.writer import Writer

log = logs.get(__name__)

Change = Callable[[Connection], object]

CHUNK = 500


@dataclass(frozen=True, kw_only=True)
class _Entry:
    incident: Incident
    decision: Decision | None
    """None: only a change."""

    change: Change | None


@dataclass(kw_only=True)
class DecisionLog:
    """Collects the decisions of a pass and stores them in one transaction."""

    writer: Writer
    leases: Leases
    index: RunbookIndex
    metrics: ReconcilerMetrics
    _last: dict[str, Decision] = field(init=False, default_factory=dict)
    _entries: list[_Entry] = field(init=False, default_factory=list)

    def record(self, incident: Incident, decision: Decision, change: Change | None = None) -> None:
        """Store a decision and its changes at the end of the pass.

        Dropped if it equals the incident's last decision and changes nothing.
        """
        if decision.reason is Reason.ATTEMPT_RUNNING:
            return  # the timeline already has `started`; recording this would depend on timing
        if change is not None or not self._is_known(incident, decision):
            self._entries.append(_Entry(incident=incident, decision=decision, change=change))

    def add_change(self, incident: Incident, change: Change) -> None:
        """Store something else at the end of the pass."""
        self._entries.append(_Entry(incident=incident, decision=None, change=change))

    @property
    def pending(self) -> frozenset[str]:
        """Ids of incidents with pending writes."""
        return frozenset(entry.incident.id for entry in self._entries)

    async def flush(self) -> list[tuple[Incident, Exception]]:
        """Store the entries, then count them; return the incidents whose storing crashed.

        Raises:
            StoreError: some entries were not stored; they are dropped and decided again.
        """
        entries, self._entries = self._entries, []
        crashed = []
        for begin in range(0, len(entries), CHUNK):
            crashed += await self._flush(entries[begin : begin + CHUNK])
        return crashed

    async def _flush(self, chunk: list[_Entry]) -> list[tuple[Incident, Exception]]:
        _reached(chunk, Failpoint.ESCALATE_BEFORE, Failpoint.CLOSE_BEFORE)
        try:
            stored = await self.writer.run(partial(self._store, entries=chunk))
        except TradingOpsError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug must not block the other entries
            if len(chunk) == 1:
                return [(chunk[0].incident, error)]
            return [crash for entry in chunk for crash in await self._flush([entry])]
        _reached(chunk, Failpoint.ESCALATE_AFTER, Failpoint.CLOSE_AFTER)
        for entry in stored:
            if entry.decision is not None:
                self.count(entry.incident, entry.decision)
        return []

    def _store(self, connection: Connection, entries: list[_Entry]) -> list[_Entry]:
        """Store the entries of incidents that this replica still owns; return them."""
        now = clock.now()
        held = self._held(connection, {key_of(entry.incident) for entry in entries}, now)
        mine = [entry for entry in entries if key_of(entry.incident) in held]
        for entry in mine:
            if entry.decision is not None:
                self.write(connection, entry.incident, entry.decision, now)
            if entry.change is not None:
                entry.change(connection)
        return mine

    def _held(self, connection: Connection, keys: set[str], now: datetime) -> set[str]:
        """Return the keys that no other replica took over while this one was frozen."""
        if self.leases.alone:
            return keys
        return {
            key
            for key in sorted(keys)
            if claims.is_held(connection, self.leases.claim(key), now=now)
        }

    def write(
        self, connection: Connection, incident: Incident, decision: Decision, now: datetime
    ) -> None:
        """Write a decision in the caller's transaction; the caller must `count` it afterwards."""
        events.add(
            connection,
            at=now,
            kind=f"decided_{kind_of(decision)}",
            incident_id=incident.id,
            reason=decision.reason,
            note=self._note(incident, decision),
        )

    def count(self, incident: Incident, decision: Decision) -> None:
        """Count and log a decision that is now in the timeline."""
        self.metrics.observe_lag(incident, decision, first=incident.id not in self._last)
        self._last[incident.id] = decision
        self.metrics.count_decision(decision)
        if isinstance(decision, Close):
            lasted = (clock.now() - incident.opened_at).total_seconds()
            alert = incident.alert if incident.alert in self.index.runbooks else "other"
            self.metrics.recovery.labels(alert).observe(lasted)
        log.info(
            "decided",
            incident=incident.id,
            alert=incident.alert,
            target=incident.target,
            decision=kind_of(decision),
            reason=decision.reason.value,
            note=decision.note,
        )

    def forget(self, keys: Collection[str]) -> None:
        """Forget incidents that are closed or owned by another replica."""
        for key in keys:
            self._last.pop(key, None)

    def _is_known(self, incident: Incident, decision: Decision) -> bool:
        last = self._last.get(incident.id)
        return (
            last is not None
            and type(last) is type(decision)
            and (last.reason, last.note) == (decision.reason, decision.note)
        )

    def _note(self, incident: Incident, decision: Decision) -> str:
        """Return the decision's note; for a closed gate also the blocked step and the time."""
        runbook = self.index.runbook(incident.alert)
        if not isinstance(decision, Wait) or decision.blocked_step is None or runbook is None:
            return decision.note
        parts = [f"would have run {runbook.steps[decision.blocked_step].action}"]
        if decision.note:
            parts.append(decision.note)
        if decision.until is not None:
            parts.append(f"until {decision.until.isoformat(timespec='seconds')}")
        return "; ".join(parts)


def _reached(entries: list[_Entry], escalating: Failpoint, closing: Failpoint) -> None:
    if any(isinstance(entry.decision, Escalate) for entry in entries):
        failpoints.reached(escalating)
    if any(isinstance(entry.decision, Close) for entry in entries):
        failpoints.reached(closing)
