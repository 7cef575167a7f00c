"""Acknowledgements and snoozes: stored first, then synchronized.

They are synchronized to two systems. Alertmanager gets a short silence on the alert's full label
set, which mutes the page and, since silenced alerts are not remediated, also stops automation. It
is extended while the incident is open and otherwise expires soon. Prometheus gets a metric, which
suppresses paging of secondary on-call.

Every request is safe to interrupt: the next pass synchronizes what is stored. Before a silence is
created, ours is searched by its comment, so a crash between creating it and storing its id leaves
at most a short silence that expires. While Alertmanager is unreachable the acknowledgement is in
force, and synchronizing is retried.
"""

import asyncio
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from trading_ops import clock, logs
from trading_ops.clients.alertmanager import Alertmanagers
from trading_ops.domain.acknowledgement import (
    ACKNOWLEDGED_FOR,
    SNOOZED_AT_MOST,
    Acknowledgement,
    AcknowledgementKind,
    FaultKey,
    has_lapsed,
    matchers_of,
    may_be_silenced,
    renewed_until,
    silence_to_create,
)
from trading_ops.domain.incident import Incident
from trading_ops.domain.silences import Silence
from trading_ops.errors import ClientError, RequestRefused
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.reconciler.secondary_oncall import acknowledged_faults
from trading_ops.store import acknowledgements, incidents
from trading_ops.store.acknowledgements import AcknowledgedAlert
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

log = logs.get(__name__)

TRY_AGAIN = timedelta(seconds=5)
"""Retry interval after Alertmanager did not answer."""

LOOK_AGAIN = timedelta(seconds=15)
"""Interval without changes in the store; silences expire by time alone."""


@dataclass(frozen=True, kw_only=True)
class Acknowledged:
    """The result of a request."""

    acknowledgement: Acknowledgement
    error: str | None
    """Why Alertmanager does not have the silence yet; None: it does."""


@dataclass(kw_only=True)
class AcknowledgementSync:
    """Stores acknowledgements and synchronizes them."""

    writer: Writer
    reader: Reader
    alertmanagers: Alertmanagers
    index: RunbookIndex
    metrics: ReconcilerMetrics
    now: Callable[[], datetime] = clock.now
    error: str | None = field(init=False, default=None)
    """Why the last synchronization failed; None: it succeeded."""

    _lock: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    """Serializes searching and creating a silence."""

    _lost: frozenset[str] = field(init=False, default=frozenset())
    """Ids of acknowledged incidents whose silence Alertmanager does not have."""

    _placed: dict[str, float] = field(init=False, default_factory=dict)
    """When the silence of each incident was last created, on the monotonic clock."""

    _synced: tuple[int, frozenset[str]] | None = field(init=False, default=None)
    _next_at: datetime | None = field(init=False, default=None)
    _exported: set[FaultKey] = field(init=False, default_factory=set)

    async def acknowledge(
        self,
        incident_id: str,
        *,
        kind: AcknowledgementKind | str = AcknowledgementKind.ACKNOWLEDGE,
        owner: str,
        note: str = "",
        for_: timedelta | None = None,
    ) -> Acknowledged:
        """Acknowledge or snooze an incident.

        Args:
            incident_id: or a beginning of it that no other one has.
            kind: an acknowledgement lasts until the incident closes or it is removed.
            owner: the operator; it replaces another operator's acknowledgement.
            note: why, for the timeline.
            for_: how long to snooze; an acknowledgement has no such end.

        Raises:
            RequestRefused: unknown or closed incident, or invalid duration.
            StoreError: it could not be stored; nothing was done.
        """
        kind, now = AcknowledgementKind(kind), self.now()
        incident = await self._open(incident_id)
        ack = await self.writer.run(
            partial(
                acknowledgements.begin,
                incident_id=incident.id,
                kind=kind,
                owner=plain(owner),
                note=plain(note),
                until=now + length(kind, for_),
                now=now,
            )
        )
        if ack is None:
            raise RequestRefused(f"incident {incident.id} is closed")
        log.info("acknowledged", incident=incident.id, kind=ack.kind.value, owner=owner)
        return await self._sync_one(ack)

    async def unacknowledge(self, incident_id: str, *, owner: str) -> Acknowledged:
        """Remove the acknowledgement of an incident and its silence.

        Raises:
            RequestRefused: unknown incident, or it is not acknowledged.
            StoreError: it could not be stored; nothing was done.
        """
        incident = await self._open(incident_id)
        ack = await self._end(incident.id, plain(owner), "withdrawn")
        if ack is None:
            raise RequestRefused(f"incident {incident.id} is not acknowledged")
        return await self._sync_one(ack)

    def note_lost_silences(self, audible: Collection[str], *, queried_at: float) -> None:
        """Find silences that Alertmanager has lost; the next synchronization creates them again.

        Args:
            audible: ids of acknowledged incidents whose alert is not silenced.
            queried_at: when the sources were queried, on the monotonic clock.
        """
        self._lost = frozenset(
            key for key in audible if queried_at > self._placed.get(key, -math.inf)
        )

    async def sync(self, open_incidents: Collection[Incident], *, head: int = -1) -> None:
        """Synchronize silences and metric with the store; called when it is due.

        Args:
            open_incidents: those that this reconciler looks after; only they are extended.
            head: number of the newest event, as the state was read; while it is the same and
                nothing is due, nothing is done. Unknown: -1.
        """
        if not self.is_due(open_incidents, head=head):
            return
        ids, now = frozenset(incident.id for incident in open_incidents), self.now()
        lost, self._lost = self._lost, frozenset()
        self._placed = {key: at for key, at in self._placed.items() if key in ids}
        self._synced, self._next_at = (head, ids), now + TRY_AGAIN  # in case it fails
        cases = await self.reader.read(partial(acknowledgements.at_work, now=now))
        troubles = [
            await self._update(case, ids, lost=case.acknowledgement.incident_id in lost)
            for case in cases
        ]
        if cases:
            cases = await self.reader.read(partial(acknowledgements.at_work, now=self.now()))
        self._export(cases)
        trouble = next(filter(None, troubles), None)
        if trouble and not self.error:
            log.warning("acknowledgement_not_synced", error=trouble)
        self.error = trouble
        self._next_at = self.now() + (TRY_AGAIN if trouble else LOOK_AGAIN)

    def is_due(self, open_incidents: Collection[Incident], *, head: int = -1) -> bool:
        """Whether `sync` has work; called in each pass, so it must be cheap."""
        if self._lost or self._next_at is None or self.now() >= self._next_at or head < 0:
            return True
        return self._synced != (head, frozenset(incident.id for incident in open_incidents))

    async def _open(self, incident_id: str) -> Incident:
        incident = await self.reader.read(partial(incidents.find, key=incident_id))
        if incident is None:
            raise RequestRefused(f"no incident matches {incident_id!r}, or the prefix is ambiguous")
        if not incident.is_open:
            raise RequestRefused(f"incident {incident.id} is closed")
        return incident

    async def _sync_one(self, ack: Acknowledgement) -> Acknowledged:
        """Synchronize one acknowledgement now; return it with the error, if any."""
        self._synced = None
        find = partial(acknowledgements.find, key=ack.id)
        case = await self.reader.read(find)
        if case is None:
            return Acknowledged(acknowledgement=ack, error=None)
        trouble = await self._sync_silence(case, {ack.incident_id}, sure=True)
        self._export(await self.reader.read(partial(acknowledgements.at_work, now=self.now())))
        fresh = await self.reader.read(find) or case
        return Acknowledged(acknowledgement=fresh.acknowledgement, error=trouble)

    async def _update(
        self, case: AcknowledgedAlert, ids: Collection[str], *, lost: bool
    ) -> str | None:
        """End or renew an acknowledgement if due, and synchronize its silence."""
        ack, now = case.acknowledgement, self.now()
        ending = ack.is_active and (case.closed_at is not None or has_lapsed(ack, now))
        if ending:
            kind = "snooze_ended" if has_lapsed(ack, now) else "acknowledgement_ended"
            await self._end(ack.incident_id, "reconciler", kind)
        elif ack.is_active and ack.incident_id in ids and (until := renewed_until(ack, now)):
            await self.writer.run(partial(acknowledgements.renew, ack=ack, until=until, now=now))
        if not ending and not _is_due(ack, ids, now, lost=lost):
            return None
        return await self._sync_silence(case, ids, sure=ending, lost=lost)

    async def _sync_silence(
        self, case: AcknowledgedAlert, ids: Collection[str], *, sure: bool, lost: bool = False
    ) -> str | None:
        """Create, extend or expire the silence of one acknowledgement; return the error, if any.

        Args:
            case: as last read; it is read again, since it may have changed.
            ids: incidents of this reconciler.
            sure: search for a silence of an ended acknowledgement even if none is known.
            lost: Alertmanager does not have the known silence.
        """
        try:
            async with self._lock:
                fresh = await self.reader.read(
                    partial(acknowledgements.find, key=case.acknowledgement.id)
                )
                if fresh is None or not (
                    sure or _is_due(fresh.acknowledgement, ids, self.now(), lost=lost)
                ):
                    return None
                ack = _unsilenced(fresh.acknowledgement) if lost else fresh.acknowledgement
                ends = silence_to_create(ack, self.now()) if ack.is_active else None
                if ends is not None:
                    await self._silence(fresh, ends)
                elif not fresh.acknowledgement.is_active:
                    await self._expire(fresh)
        except ClientError as error:
            return str(error)
        return None

    async def _silence(self, case: AcknowledgedAlert, ends: datetime) -> None:
        ack = case.acknowledgement
        found = await self._ours(case)
        ours = found[0] if found else None
        matchers = matchers_of(case.labels)
        silence_id = await self.alertmanagers.silence(
            matchers.labels,
            patterns=matchers.patterns,
            starts=self.now() if ours is None else ours.starts_at,
            ends=ends,
            owner=ack.owner,
            comment=comment(ack),
            id=None if ours is None else ours.id,
        )
        for stray in found[1:]:
            await self.alertmanagers.expire(stray.id)
        self._placed[ack.incident_id] = clock.monotonic()
        await self._note(ack, silence_id, ends)

    async def _expire(self, case: AcknowledgedAlert) -> None:
        active = await self.reader.read(acknowledgements.active)
        if (
            case.acknowledgement.incident_id not in active
        ):  # otherwise it belongs to the newer acknowledgement
            for silence in await self._ours(case):
                await self.alertmanagers.expire(silence.id)
        if case.acknowledgement.silenced_until is not None:
            await self._note(case.acknowledgement, case.acknowledgement.silence_id, None)

    async def _ours(self, case: AcknowledgedAlert) -> list[Silence]:
        matchers = matchers_of(case.labels)
        pattern = matchers.patterns.get("alertname")
        name = pattern or matchers.labels.get("alertname", "")
        begins = mark(case.acknowledgement.incident_id)
        return [
            silence
            for silence in await self.alertmanagers.silences(name, pattern=pattern is not None)
            if silence.comment.startswith(begins)
        ]

    async def _end(self, incident_id: str, owner: str, kind: str) -> Acknowledgement | None:
        change = partial(
            acknowledgements.end,
            incident_id=incident_id,
            owner=owner,
            kind=kind,
            now=self.now(),
        )
        ack = await self.writer.run(change)
        if ack is not None:
            log.info(kind, incident=incident_id, owner=owner)
        return ack

    async def _note(
        self, ack: Acknowledgement, silence_id: str | None, until: datetime | None
    ) -> None:
        await self.writer.run(
            partial(
                acknowledgements.note_silence,
                ack=ack,
                silence_id=silence_id,
                until=until,
                now=self.now(),
            )
        )

    def _export(self, cases: Collection[AcknowledgedAlert]) -> None:
        ends = acknowledged_faults(cases, self.index)
        self._exported |= ends.keys()
        for key in self._exported:
            end = ends.get(key)
            value = 0.0 if end is None else end.timestamp()
            self.metrics.silences.acknowledged.labels(*key).set(value)


def _unsilenced(ack: Acknowledgement) -> Acknowledgement:
    return replace(ack, silenced_until=None)


def _is_due(
    ack: Acknowledgement, ids: Collection[str], now: datetime, *, lost: bool = False
) -> bool:
    """Whether the silence of this acknowledgement must be checked in Alertmanager."""
    if ack.is_active:
        known = _unsilenced(ack) if lost else ack
        return ack.incident_id in ids and silence_to_create(known, now) is not None
    return may_be_silenced(ack, now)


def length(kind: AcknowledgementKind, for_: timedelta | None) -> timedelta:
    """Return the duration of an acknowledgement; None: no end.

    Raises:
        RequestRefused: a snooze without a duration, or with one that is too long.
    """
    if kind is AcknowledgementKind.ACKNOWLEDGE:
        return ACKNOWLEDGED_FOR
    if for_ is None or not timedelta() < for_ <= SNOOZED_AT_MOST:
        hours = SNOOZED_AT_MOST // timedelta(hours=1)
        raise RequestRefused(f"a snooze needs a duration above zero and at most {hours} hours")
    return for_


def plain(text: str) -> str:
    """Return text without characters that a database rejects."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def mark(incident_id: str) -> str:
    """Return the prefix of the comments of our silences for an incident."""
    return f"trading-ops incident {incident_id}: "


def comment(ack: Acknowledgement) -> str:
    """Return a silence's comment: the incident, the operator and the reason."""
    return f"{mark(ack.incident_id)}{ack.description}{f' ({ack.note})' if ack.note else ''}"
