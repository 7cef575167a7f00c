"""Crash recovery: what the process was doing when it died.

Attempts without an outcome are probed, never blindly repeated. Incidents that were being handled
are marked in a small memory-mapped file: marking is a memory write without a system call, and the
kernel keeps it when the process is killed. A clean stop leaves no marks. An incident whose handling
crashes repeatedly is escalated and set aside; the others continue.
"""

import contextlib
import fcntl
import mmap
import os
import re
import traceback
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from trading_ops import clock, logs
from trading_ops.actions.base import Probe
from trading_ops.domain.attempt import Attempt, AttemptState, DeliverySemantics
from trading_ops.domain.incident import Incident
from trading_ops.domain.runbook import RunbookStep
from trading_ops.domain.target import Target
from trading_ops.errors import ClientError, StoreError
from trading_ops.reconciler.execute import AttemptRunner
from trading_ops.reconciler.lease import Leases, key_of_target
from trading_ops.reconciler.state import ReconcilerState
from trading_ops.redaction import redact
from trading_ops.store import Connection, failpoints, incidents, leases
from trading_ops.store.failpoints import Failpoint
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)

OUTCOMES = {
    Probe.DONE: (AttemptState.SUCCEEDED, "a probe found that it succeeded"),
    Probe.FAILED: (AttemptState.FAILED, "a probe found that it failed"),
    Probe.NOT_DONE: (AttemptState.ABANDONED, "never reached its target"),
}


@dataclass(frozen=True, kw_only=True)
class AttemptRecovery:
    """Determines the outcome of orphaned attempts."""

    writer: Writer
    leases: Leases
    runner: AttemptRunner

    async def mark_unknown(self, attempt: Attempt, why: str) -> None:
        """Mark an orphaned attempt as unknown until it is probed."""
        await self.runner.record(attempt, AttemptState.UNKNOWN, why, only_from=AttemptState.STARTED)
        failpoints.reached(Failpoint.ADOPTED)

    def _raise_fence(self, connection: Connection, attempt: Attempt) -> int | None:
        key = key_of_target(attempt.target)
        if not self.leases.alone and not leases.is_held(
            connection, self.leases.claim(key), now=clock.now()
        ):
            return None
        return leases.raise_fence(connection, attempt.target)

    async def probe(self, attempt: Attempt, step: RunbookStep, target: Target) -> bool:
        """Probe an attempt's target once; return whether the outcome is known now."""
        fence = await self.writer.run(partial(self._raise_fence, attempt=attempt))
        if fence is None:
            return False  # another replica has taken over the target
        failpoints.reached(Failpoint.FENCE_RAISED)
        action = self.runner.actions.get(attempt.action)
        if action is None:  # it was started by another release
            detail = f"outcome unknown: this release has no action {attempt.action}"
            await self.runner.record(
                attempt, AttemptState.FAILED, detail, only_from=AttemptState.UNKNOWN
            )
            return True
        call = self.runner.call(attempt, step, target)
        try:
            found = await action.probe(replace(call, fence=fence))
        except ClientError as error:
            log.info("probe_failed", attempt=attempt.id, error=str(error))
            found = Probe.UNKNOWN
        if found is Probe.UNKNOWN:
            if attempt.delivery is DeliverySemantics.ONE_SHOT:
                return False
            # It is idempotent, so there is nothing to wait for.
            outcome = (AttemptState.ABANDONED, "outcome unknown; it is safe to repeat")
        else:
            outcome = OUTCOMES[found]
        failpoints.reached(Failpoint.PROBED)
        await self.runner.record(attempt, *outcome, only_from=AttemptState.UNKNOWN)
        return True


WIDTH = 36
"""Bytes of a mark: the id of an incident is a UUID as text."""

SLOTS = 1024
"""Maximum number of marks; further incidents are not marked."""

_SIZE = WIDTH * SLOTS
_NONE = bytes(WIDTH)
_ID = re.compile(rb"[0-9a-f-]{%d}" % WIDTH)


class CrashMarks:
    """Marks incidents while they are handled."""

    def __init__(self, path: Path) -> None:
        """Map the file; without it crashes are not counted, but everything else works."""
        try:
            self._memory = _mapped(path)
        except OSError as error:
            log.warning("crashes_not_counted", path=str(path), error=str(error))
            self._memory = mmap.mmap(-1, _SIZE)
        found = {slot: self._read(slot) for slot in range(SLOTS)}
        self._left = {slot: key for slot, key in found.items() if key}
        self._free = [slot for slot, key in found.items() if not key]

    def __enter__(self) -> Self:
        """Accept marks until the context is left."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Unmap the file."""
        self._memory.close()

    @property
    def left(self) -> frozenset[str]:
        """Incidents that the previous process was handling when it died."""
        return frozenset(self._left.values())

    def clear_left(self) -> None:
        """Clear the marks of the previous process, once counted."""
        for slot in self._left:
            self._clear(slot)
        self._left = {}

    @contextlib.contextmanager
    def marked(self, keys: Iterable[str]) -> Iterator[None]:
        """Mark incidents during the context."""
        slots = [self._mark(key) for key in keys if self._free]
        try:
            yield
        finally:
            for slot in slots:
                self._clear(slot)

    def _mark(self, key: str) -> int:
        slot = self._free.pop()
        self._memory[slot * WIDTH : (slot + 1) * WIDTH] = key.encode()[:WIDTH].ljust(WIDTH, b"\0")
        return slot

    def _clear(self, slot: int) -> None:
        if not self._memory.closed:
            self._memory[slot * WIDTH : (slot + 1) * WIDTH] = _NONE
            self._free.append(slot)

    def _read(self, slot: int) -> str:
        mark = self._memory[slot * WIDTH : (slot + 1) * WIDTH]
        return mark.decode() if _ID.fullmatch(mark) else ""


def _mapped(path: Path) -> mmap.mmap:
    """Map the file, after writing it in full: a full disk must not fail a later write.

    The lock lasts as long as the mapping, which holds a copy of the file descriptor.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        content = os.pread(file, _SIZE, 0).ljust(_SIZE, b"\0")
        if os.pwrite(file, content, 0) < _SIZE:
            raise OSError(f"cannot write all of {path}")
        os.ftruncate(file, _SIZE)
        return mmap.mmap(file, _SIZE)
    finally:
        os.close(file)


LIMIT = 3
"""Crashes after which an incident is set aside."""

LONGEST_NOTE = 500

SUSPECTS_SECONDS = 2.0
"""Seconds per pass for incidents that are handled one at a time. A pass that takes too long loses
the leases and stops feeding systemd's watchdog."""

RESUMED_BY = frozenset({"acknowledged", "snoozed", "taken_over", "withdrawn", "snooze_ended"})
"""Kinds of events after which an incident that was set aside is processed again."""


def is_set_aside(kinds: Iterable[str]) -> bool:
    """Whether an incident is set aside, by the kinds of its events in their order."""
    crashes, aside = 0, False
    for kind in kinds:
        if kind == incidents.CRASHED:
            crashes += 1
            aside = crashes >= LIMIT
        elif kind in RESUMED_BY:
            aside = False
    return aside


@dataclass(kw_only=True)
class CrashCounter:
    """Counts crashes, and knows which incidents are set aside."""

    writer: Writer
    _aside: dict[str, str | None] = field(init=False, default_factory=dict)
    """By the id of an incident: who had acknowledged it when it was set aside."""

    _suspects: set[str] = field(init=False, default_factory=set)
    """Ids of the incidents that crashed in a previous process or at another replica."""

    postponed: tuple[str, ...] = field(init=False, default=())
    """Ids of the suspects for which the last pass had no time, in their order."""

    async def count_deaths(self, marks: CrashMarks) -> None:
        """Count a crash of each incident that the previous process was handling when it died.

        Raises:
            StoreError: they are not counted, and are still marked.
        """
        if not marks.left:
            return
        counting = partial(incidents.add_deaths, keys=marks.left, limit=LIMIT, now=clock.now())
        counted = await self.writer.run(counting)
        marks.clear_left()
        if counted:
            log.error("crashed_processing", incidents=sorted(counted))

    async def load(self, reader: Reader, keys: Collection[str], state: ReconcilerState) -> None:
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

    def one_at_a_time(self, suspects: Iterable[Incident]) -> Iterator[Incident]:
        """Yield suspects while the pass has time for them; those left come first in the next one.

        At least one is yielded. Remediable ones come before the others.
        """
        place = {key: number for number, key in enumerate(self.postponed)}
        waiting = sorted(
            suspects,
            key=lambda incident: (incident.target is None, place.get(incident.id, len(place))),
        )
        self.postponed = ()  # those that are no longer due must not make each pass due
        until = clock.monotonic() + SUSPECTS_SECONDS
        while waiting:
            suspect = waiting.pop(0)
            self.postponed = tuple(incident.id for incident in waiting)
            yield suspect
            if clock.monotonic() >= until:
                break

    def is_set_aside(self, incident: Incident, state: ReconcilerState) -> bool:
        """Whether to leave an incident alone, until its acknowledgement is added or removed."""
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

    async def add(self, incident: Incident, state: ReconcilerState, error: Exception) -> None:
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
