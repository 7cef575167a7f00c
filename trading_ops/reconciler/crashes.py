"""An incident whose processing crashes is escalated and set aside; the others continue.

A crash is an unexpected exception, a bug, or the death of the process. The store
counts the crashes of each incident, so a restart of the reconciler does not start the count again.
"""

import traceback
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import partial

from trading_ops import clock, logs
from trading_ops.domain.incident import Incident
from trading_ops.errors import StoreError
from trading_ops.reconciler.handling import Handling
from trading_ops.reconciler.state import State
from trading_ops.redaction import redact
from trading_ops.store import incidents
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)

LIMIT = 3
"""Crashes after which an incident is set aside."""

LONGEST_NOTE = 500

TAKEN_UP = frozenset({"acknowledged", "snoozed", "taken_over", "withdrawn", "snooze_ended"})
"""Kinds of events after which an incident that was set aside is processed again."""


def is_set_aside(kinds: Iterable[str]) -> bool:
    """Whether an incident is set aside, by the kinds of its events in their order."""
    crashes, aside = 0, False
    for kind in kinds:
        if kind == incidents.CRASHED:
            crashes += 1
            aside = crashes >= LIMIT
        elif kind in TAKEN_UP:
            aside = False
    return aside


@dataclass(kw_only=True)
class Crashes:
    """Counts crashes, and knows which incidents are set aside."""

    writer: Writer
    _aside: dict[str, str | None] = field(init=False, default_factory=dict)
    """By the id of an incident: who had acknowledged it when it was set aside."""

    _suspects: set[str] = field(init=False, default_factory=set)
    """Ids of the incidents that crashed in a former process or at another replica."""

    async def count_deaths(self, handling: Handling) -> None:
        """Count a crash of each incident that the former process was handling when it died.

        Raises:
            StoreError: they are not counted, and are still marked.
        """
        if not handling.left:
            return
        counting = partial(incidents.add_deaths, keys=handling.left, limit=LIMIT, now=clock.now())
        counted = await self.writer.run(counting)
        handling.settle()
        if counted:
            log.error("died_handling", incidents=sorted(counted))

    async def learn(self, reader: Reader, keys: Collection[str], state: State) -> None:
        """Read from the store which incidents crashed before this process had them."""
        if not keys:
            return
        for key, kinds in (await reader.read(partial(incidents.crashes, keys=keys))).items():
            self._suspects.add(key)
            if is_set_aside(kinds):
                self._aside[key] = state.overrides.acknowledged.get(key)

    def is_suspect(self, incident: Incident) -> bool:
        """Whether the incident may be the one that kills the process."""
        return incident.id in self._suspects

    def is_set_aside(self, incident: Incident, state: State) -> bool:
        """Whether to leave an incident alone: until a person acknowledges it, or lets it go."""
        if incident.id not in self._aside:
            return False
        if self._aside[incident.id] == state.overrides.acknowledged.get(incident.id):
            return True
        del self._aside[incident.id]
        return False

    def forget(self, keys: frozenset[str]) -> None:
        """Forget incidents that are closed, or that another replica has."""
        for key in keys:
            self._aside.pop(key, None)
            self._suspects.discard(key)

    async def add(self, incident: Incident, state: State, error: Exception) -> None:
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
            self._aside[incident.id] = state.overrides.acknowledged.get(incident.id)
