"""Metrics that suppress paging of secondary on-call: acknowledgements and manual silences.

Silences of acknowledgements are excluded by their stored ids, so no comment or name can imitate
one. A manual silence that is too wide or too long is reported.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from trading_ops import clock, logs
from trading_ops.clients.alertmanager import Alertmanagers
from trading_ops.domain.acknowledgement import FaultKey, acknowledged_until, fault_of
from trading_ops.domain.observation import AlertSnapshot
from trading_ops.domain.silences import Coverage, Silence, TooWide
from trading_ops.domain.target import NAMED_BOTS, Kind
from trading_ops.errors import ClientError
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.store import acknowledgements
from trading_ops.store.acknowledgements import AcknowledgedAlert
from trading_ops.store.reader import Reader


def acknowledged_faults(
    cases: Collection[AcknowledgedAlert], index: RunbookIndex
) -> dict[FaultKey, datetime | None]:
    """Return the metric's labels: registered names only, to bound cardinality."""
    until = acknowledged_until((case.acknowledgement, case.labels) for case in cases)
    return {key: end for key, end in until.items() if is_registered(key, index)}


def is_registered(fault: FaultKey, index: RunbookIndex) -> bool:
    """Whether its alert has a runbook and its targets are registered."""
    bots = {target.name for target in index.registry if target.kind in NAMED_BOTS}
    venues = {target.name for target in index.registry.of_kind(Kind.VENUE)}
    # The venue of a Freqtrade is not a target.
    venues |= {target.venue for target in index.registry if target.venue is not None}
    known = fault.bot in bots | {""} and fault.venue in venues | {""}
    return known and fault.origin in index.runbooks


log = logs.get(__name__)

EVERY_SECONDS = 5.0


@dataclass(kw_only=True)
class SilenceMonitor:
    """Reads Alertmanager's silences and exports the manual ones."""

    reader: Reader
    alertmanagers: Alertmanagers
    index: RunbookIndex
    metrics: ReconcilerMetrics
    longest: timedelta
    """Maximum duration of a silence without an alert."""

    now: Callable[[], datetime] = clock.now
    of_target: Mapping[str, Sequence[Silence]] = field(init=False, default_factory=dict)
    """Silences that cover each bot and venue, as last read."""

    manual: Sequence[Silence] = field(init=False, default=())
    """All manual silences in force, as last read."""

    of_acknowledgements: Collection[str] = field(init=False, default=frozenset())
    """Ids of the silences of acknowledgements, as last read."""

    _polled_at: float = field(init=False, default=-math.inf)
    _shown: set[FaultKey] = field(init=False, default_factory=set)
    _wide: frozenset[str] = field(init=False, default=frozenset())

    def is_due(self) -> bool:
        """Whether it is time to read them again."""
        return clock.monotonic() - self._polled_at >= EVERY_SECONDS

    async def poll(self, snapshot: AlertSnapshot | None) -> None:
        """Read the silences; while Alertmanager does not answer, keep the last ones."""
        self._polled_at = clock.monotonic()
        try:
            found = await self.alertmanagers.silences()
        except ClientError as error:
            log.warning("silences_not_read", error=str(error))
            return
        cases = await self.reader.read(partial(acknowledgements.at_work, now=self.now()))
        ids = (case.acknowledgement.silence_id for case in cases)
        of_ours = frozenset(key for key in ids if key is not None)
        manual = [
            silence
            for silence in found
            if silence.id not in of_ours and silence.starts_at <= self.now()
        ]
        self.manual, self.of_acknowledgements = manual, of_ours
        self._show_covered(manual, snapshot)
        if snapshot is not None:
            self._show_faults(manual, snapshot)

    def _show_covered(self, manual: Sequence[Silence], snapshot: AlertSnapshot | None) -> None:
        view = snapshot.prometheus if snapshot else None
        ours = Coverage(
            alerts={name: book.target_label for name, book in self.index.runbooks.items()},
            registry=self.index.registry,
            external=view.external if view else {},
        )
        covering: dict[str, list[Silence]] = {}
        count = Counter(dict.fromkeys(TooWide, 0))
        wide = set()
        for silence in manual:
            for target in ours.covered(silence):
                covering.setdefault(target.name, []).append(silence)
            reasons = ours.too_wide(silence, longest=self.longest)
            count.update(reasons)
            if reasons:
                wide.add(silence.id)
            if reasons and silence.id not in self._wide:
                log.warning(
                    "silence_too_wide",
                    id=silence.id,
                    by=silence.created_by,
                    reasons=sorted(reasons),
                    matchers=[str(matcher) for matcher in silence.matchers],
                )
        self.of_target, self._wide = covering, frozenset(wide)
        for bot in self.index.registry:
            if bot.kind in NAMED_BOTS:
                self.metrics.silences.covering.labels(bot.name).set(len(covering.get(bot.name, ())))
        for reason, number in count.items():
            self.metrics.silences.too_wide.labels(reason).set(number)

    def _show_faults(self, manual: Sequence[Silence], snapshot: AlertSnapshot) -> None:
        if snapshot.prometheus is None or snapshot.alertmanager is None:
            return
        ends = {silence.id: silence.ends_at for silence in manual}
        until: dict[FaultKey, datetime] = {}
        for key, routed in snapshot.alertmanager.items():
            rule = snapshot.prometheus.alerts.get(key)
            ends_at = [ends[silence_id] for silence_id in routed.silenced_by if silence_id in ends]
            if rule is None or not rule.firing or not rule.is_ours or not ends_at:
                continue
            fault = fault_of(rule.labels)
            if is_registered(fault, self.index):
                until[fault] = max([*ends_at, until.get(fault, ends_at[0])])
        self._shown |= until.keys()
        for fault in self._shown:
            end = until.get(fault)
            value = 0.0 if end is None else end.timestamp()
            self.metrics.silences.until.labels(*fault).set(value)
