"""An incident whose processing crashes is handed to on-call and set aside; the others go on.

A crash is an exception that is none of ours: a defect. The store counts the crashes of each
incident, so a restart of the reconciler does not start the count again.
"""

import traceback
from dataclasses import dataclass, field
from functools import partial

from trading_ops import clock, logs
from trading_ops.domain.incident import Incident
from trading_ops.errors import StoreError
from trading_ops.reconciler.state import Desk
from trading_ops.redaction import redact
from trading_ops.store import incidents
from trading_ops.store.writer import Writer

log = logs.get(__name__)

LIMIT = 3
"""Crashes after which an incident is set aside."""

LONGEST_NOTE = 500


@dataclass(kw_only=True)
class Crashes:
    """Counts crashes, and knows which incidents are set aside."""

    writer: Writer
    _aside: dict[str, str | None] = field(init=False, default_factory=dict)
    """By the id of an incident: who had acknowledged it when it was set aside."""

    def is_set_aside(self, incident: Incident, desk: Desk) -> bool:
        """Whether to leave an incident alone: until a person acknowledges it, or lets it go."""
        if incident.id not in self._aside:
            return False
        if self._aside[incident.id] == desk.acknowledged.get(incident.id):
            return True
        del self._aside[incident.id]
        return False

    def forget(self, keys: frozenset[str]) -> None:
        """Forget incidents that are closed, or that another replica has."""
        for key in keys:
            self._aside.pop(key, None)

    async def add(self, incident: Incident, desk: Desk, error: Exception) -> None:
        """Count a crash; at the limit, escalate the incident and set it aside."""
        log.error(
            "incident_crashed",
            incident=incident.id,
            alert=incident.alert,
            # As text: a renderer of exceptions that shows all variables takes seconds.
            traceback="".join(traceback.format_exception(error)),
        )
        note = redact(f"{type(error).__name__}: {error}")[:LONGEST_NOTE]
        adding = partial(
            incidents.add_crash, key=incident.id, note=note, limit=LIMIT, now=clock.now()
        )
        try:
            at_limit = await self.writer.run(adding)
        except StoreError as failure:
            log.warning("crash_not_stored", incident=incident.id, error=str(failure))
            return
        if at_limit:
            self._aside[incident.id] = desk.acknowledged.get(incident.id)
