"""When each backup command is due; no clock and no I/O."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from trading_ops.backup.records import Run
from trading_ops.domain.backup import Operation

FIRST = timedelta(minutes=1)
"""Delay after the reconciler's start if there is no backup yet."""

EVERY = {
    Operation.RESTORE_TEST: timedelta(days=1),
    Operation.PRUNE: timedelta(days=1),
    Operation.VERIFY: timedelta(days=7),
}
PRUNE_WHILE_FAILING = timedelta(hours=1)
"""The same for prune while no backup can be taken: the repository may be full."""

RETRY = timedelta(minutes=5)
"""Delay after a failure, unless the interval is shorter."""

RETRY_BOTS = timedelta(hours=1)
"""The same if only a bot did not start: another restore is expensive and shows little."""


def due(
    runs: Mapping[Operation, Run],
    *,
    interval: timedelta,
    began: datetime,
    now: datetime,
    has_backup: bool,
) -> Operation | None:
    """Return the operation that is due now, or None.

    A clock that was set back makes every operation due: too many backups are better than none.

    Args:
        runs: the last run of each.
        interval: between two backups; zero: no automatic backups.
        began: when the reconciler started.
        now: the time.
        has_backup: whether a backup is known; the other operations need one.
    """
    if not interval:
        return None
    created = runs.get(Operation.CREATE)
    if created is None:
        return Operation.CREATE if not began <= now < began + FIRST else None
    if _is_due(created, interval, now):
        return Operation.CREATE
    if not has_backup:
        return None
    order = list(EVERY.items())
    if not created.succeeded:
        order.insert(0, (Operation.PRUNE, PRUNE_WHILE_FAILING))
    for operation, every in order:
        last = runs.get(operation)
        if last is None or _is_due(last, every, now):
            return operation
    return None


def _is_due(last: Run, every: timedelta, now: datetime) -> bool:
    wait = every if last.succeeded else min(every, RETRY if last.retry else RETRY_BOTS)
    return not last.at <= now < last.at + wait
