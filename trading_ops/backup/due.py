"""When each backup command is due; no clock and no I/O."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from trading_ops.backup.records import BackupRun
from trading_ops.domain.backup import Operation

FIRST = timedelta(minutes=1)
"""Delay after the reconciler's start if there is no backup yet."""

DAILY = timedelta(days=1)
"""Interval of restore tests and prune."""

VERIFY_EACH = timedelta(days=7)
"""Each stored backup is verified at this interval, one at a time."""

PRUNE_WHILE_FAILING = timedelta(hours=1)
"""The interval of prune while no backup can be taken: the repository may be full."""

RETRY = timedelta(minutes=5)
"""Delay after a failure, unless the interval is shorter."""

RETRY_LATER = timedelta(hours=1)
"""The same if another attempt shows little: a backup is damaged, or a bot did not start."""


def due(
    runs: Mapping[Operation, BackupRun],
    *,
    interval: timedelta,
    began: datetime,
    now: datetime,
    checked: datetime | None,
) -> list[Operation]:
    """Return the operations that are due now, the most important first.

    A clock that was set back makes every operation due: too many backups are better than none.

    Args:
        runs: the last run of each.
        interval: between two backups; zero: no automatic backups.
        began: when the reconciler started.
        now: the time.
        checked: when the backup that was verified the longest ago was verified; None: no backup is
            known, and the other operations need one.
    """
    if not interval:
        return []
    created = runs.get(Operation.CREATE)
    if created is None:
        return [] if began <= now < began + FIRST else [Operation.CREATE]
    found = [Operation.CREATE] if _is_due(created, interval, now) else []
    if checked is None:
        return found
    others = {Operation.RESTORE_TEST: DAILY, Operation.PRUNE: DAILY}
    if not created.succeeded:
        others = {Operation.PRUNE: PRUNE_WHILE_FAILING, Operation.RESTORE_TEST: DAILY}
    found += [name for name, every in others.items() if _is_due(runs.get(name), every, now)]
    if _is_verification_due(runs.get(Operation.VERIFY), checked, now):
        found.append(Operation.VERIFY)
    return found


def _is_verification_due(last: BackupRun | None, checked: datetime, now: datetime) -> bool:
    if last is not None and not last.succeeded:
        return _is_due(last, VERIFY_EACH, now)
    paused = last is not None and last.at <= now < last.at + RETRY
    return not paused and not checked <= now < checked + VERIFY_EACH


def _is_due(last: BackupRun | None, every: timedelta, now: datetime) -> bool:
    if last is None:
        return True
    wait = every if last.succeeded else min(every, RETRY if last.retry else RETRY_LATER)
    return not last.at <= now < last.at + wait
