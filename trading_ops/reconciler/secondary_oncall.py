"""The metric that suppresses paging of secondary on-call while an incident is acknowledged."""

from collections.abc import Collection
from datetime import datetime

from trading_ops.domain.acknowledgement import acknowledged_until
from trading_ops.domain.fault import Fault
from trading_ops.domain.target import NAMED_BOTS, Kind
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.store.acknowledgements import Case


def shown(cases: Collection[Case], index: RunbookIndex) -> dict[Fault, datetime | None]:
    """Return the metric's labels: registered names only, to bound cardinality."""
    words = acknowledged_until((case.word, case.labels) for case in cases)
    return {key: end for key, end in words.items() if is_registered(key, index)}


def is_registered(fault: Fault, index: RunbookIndex) -> bool:
    """Whether its alert has a runbook and its targets are registered."""
    bots = {one.name for one in index.registry if one.kind in NAMED_BOTS}
    venues = {one.name for one in index.registry.of_kind(Kind.VENUE)}
    # The venue of a Freqtrade is not a target.
    venues |= {one.venue for one in index.registry if one.venue is not None}
    known = fault.bot in bots | {""} and fault.venue in venues | {""}
    return known and fault.origin in index.runbooks
