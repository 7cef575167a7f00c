"""Decisions written down: in the incident's story, in the metrics and in the log, with the reason.

A decision that is the same as the last one for its incident says nothing new and is not repeated.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from trading_ops import clock, logs
from trading_ops.domain.decision import Decision, Wait
from trading_ops.domain.incident import Incident
from trading_ops.reconciler.metrics import ReconcilerMetrics, kind_of
from trading_ops.reconciler.plans import Plans
from trading_ops.store import Connection, events
from trading_ops.store.writer import Writer

log = logs.get(__name__)


@dataclass(kw_only=True)
class Ledger:
    """Keeps the record of decisions."""

    writer: Writer
    plans: Plans
    metrics: ReconcilerMetrics
    _last: dict[str, Decision] = field(init=False, default_factory=dict)

    async def record(self, incident: Incident, decision: Decision) -> None:
        """Write a decision down, unless the last one for this incident said the same."""
        if self._is_known(incident, decision):
            return
        await self.writer.run(
            partial(self.write, incident=incident, decision=decision, now=clock.now())
        )
        self.count(incident, decision)

    def write(
        self, connection: Connection, incident: Incident, decision: Decision, now: datetime
    ) -> None:
        """Write a decision inside a transaction of the caller's, who must `count` it afterwards."""
        events.add(
            connection,
            at=now,
            kind=f"decided_{kind_of(decision)}",
            incident_id=incident.id,
            reason=decision.reason,
            note=self._note(incident, decision),
        )

    def count(self, incident: Incident, decision: Decision) -> None:
        """Count and log a decision that is now in the story."""
        self._last[incident.id] = decision
        self.metrics.decided(decision)
        log.info(
            "decided",
            incident=incident.id,
            alert=incident.alert,
            target=incident.target,
            decision=kind_of(decision),
            reason=decision.reason.value,
            note=decision.note,
        )

    def keep_only(self, incident_ids: Collection[str]) -> None:
        """Forget what was said of incidents that are no longer open."""
        self._last = {key: last for key, last in self._last.items() if key in incident_ids}

    def _is_known(self, incident: Incident, decision: Decision) -> bool:
        last = self._last.get(incident.id)
        return (
            last is not None
            and type(last) is type(decision)
            and (last.reason, last.note) == (decision.reason, decision.note)
        )

    def _note(self, incident: Incident, decision: Decision) -> str:
        """Return the decision's note; for a shut gate also what would have been done, and when."""
        runbook = self.plans.runbook(incident.alert)
        if not isinstance(decision, Wait) or decision.would is None or runbook is None:
            return decision.note
        parts = [f"would have run {runbook.steps[decision.would].action}"]
        if decision.note:
            parts.append(decision.note)
        if decision.until is not None:
            parts.append(f"until {decision.until.isoformat(timespec='seconds')}")
        return "; ".join(parts)
