"""Allows one backup command at a time on a host, and records how the last one ended."""

import contextlib
from collections.abc import Iterator

from trading_ops import clock
from trading_ops.backup import durable
from trading_ops.backup.bot_start import BotsNotStarted
from trading_ops.backup.records import DETAIL, Records, Run
from trading_ops.config.settings import Settings
from trading_ops.domain.backup import Operation
from trading_ops.errors import StoreError, TradingOpsError

BUSY = "another backup command is running. Fix: wait until it has finished"


class Busy(StoreError):
    """Another backup command is running; nothing was done."""


@contextlib.contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Hold this host's lock for commands that use the scratch folder.

    Raises:
        Busy: another one holds it.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(durable.locked(settings.backup_work / "lock", BUSY))
        except StoreError as error:
            raise Busy(str(error)) from error
        yield


@contextlib.contextmanager
def noted(records: Records, operation: Operation) -> Iterator[None]:
    """Record whether an operation succeeded."""
    try:
        yield
    except Exception as error:
        with contextlib.suppress(OSError, TradingOpsError):
            retry = not isinstance(error, BotsNotStarted)
            failed = Run(at=clock.now(), succeeded=False, detail=str(error)[:DETAIL], retry=retry)
            records.ran(operation, failed)
        raise
    records.ran(operation, Run(at=clock.now(), succeeded=True))
