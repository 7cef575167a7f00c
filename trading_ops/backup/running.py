"""Keeps backup commands of a host apart, and records how the last one ended.

A backup is taken while another one is verified or restore-tested, however long that takes; all
other commands run alone.
"""

import contextlib
from collections.abc import Iterator

from trading_ops import clock
from trading_ops.backup import disk
from trading_ops.backup.bot_start import BotsNotStarted
from trading_ops.backup.manifest import Damaged
from trading_ops.backup.records import DETAIL, BackupRecords, BackupRun
from trading_ops.config.settings import Settings
from trading_ops.domain.backup import Operation
from trading_ops.errors import StoreError, TradingOpsError

TAKING, READING = "lock", "verify.lock"
"""Locks: for the staging folder of `create`, and for the scratch folder of `verify`."""

BUSY = "another backup command is running. Fix: wait until it has finished"


class Busy(StoreError):
    """Another backup command is running; nothing was done."""


@contextlib.contextmanager
def only_one(settings: Settings, *names: str) -> Iterator[None]:
    """Hold this host's locks for backup commands.

    Args:
        settings: of this installation.
        names: of the locks; none: all, so that no other command runs.

    Raises:
        Busy: another command holds one.
    """
    with contextlib.ExitStack() as held:
        try:
            for name in names or (TAKING, READING):
                held.enter_context(disk.locked(settings.backup_work / name, BUSY))
        except StoreError as error:
            raise Busy(str(error)) from error
        yield


@contextlib.contextmanager
def noted(records: BackupRecords, operation: Operation) -> Iterator[None]:
    """Record whether an operation succeeded."""
    try:
        yield
    except Exception as error:
        with contextlib.suppress(OSError, TradingOpsError):
            retry = not isinstance(error, BotsNotStarted | Damaged)
            failed = BackupRun(
                at=clock.now(), succeeded=False, detail=str(error)[:DETAIL], retry=retry
            )
            records.ran(operation, failed)
        raise
    records.ran(operation, BackupRun(at=clock.now(), succeeded=True))
