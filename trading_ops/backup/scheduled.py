"""Runs due backups in child processes, and publishes their state.

The commands write records; this task copies them to the metrics and, in the reconciler, to the
store and the audit log. Backups by a timer or an operator are therefore included, even those taken
while the process was down.
"""

import asyncio
import contextlib
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from trading_ops import clock, logs
from trading_ops.backup.due import due
from trading_ops.backup.metrics import BackupMetrics
from trading_ops.backup.records import DETAIL, BackupRecords, BackupRun, Record
from trading_ops.config.environment import child_environment
from trading_ops.config.settings import Settings
from trading_ops.domain.backup import Backup, Operation
from trading_ops.errors import StoreError, TradingOpsError
from trading_ops.store import backups
from trading_ops.store.writer import Writer
from trading_ops.tasks import Succeeded, unwatched

log = logs.get(__name__)

CHECK_SECONDS = 5.0
COMMANDS = {
    Operation.CREATE: ("create",),
    Operation.VERIFY: ("verify", "--next"),
    Operation.RESTORE_TEST: ("verify", "--restore-test"),
    Operation.PRUNE: ("prune",),
}
OOM_SCORE = 500
"""`oom_score_adj` of the commands and of what they start; that of the reconciler is 0."""

OUTPUT_BYTES = 2000
"""Maximum bytes of a command's output that are logged."""


@dataclass(kw_only=True)
class Backups:
    """Takes, tests and prunes backups."""

    settings: Settings
    writer: Writer | None
    """None: on a host without a store, for a node."""

    metrics: BackupMetrics
    look_seconds: float = CHECK_SECONDS
    _began: datetime = field(init=False, default_factory=clock.now)
    _running: dict[Operation, asyncio.Task[None]] = field(init=False, default_factory=dict)
    _known: dict[str, Record] | None = field(init=False, default=None)
    _unrecorded: dict[Operation, BackupRun] = field(init=False, default_factory=dict)
    """Failures that a command did not record itself, because it failed too early or was killed."""

    @property
    def interval(self) -> timedelta:
        """Return the interval between automatic backups; zero: off."""
        return timedelta(seconds=self.settings.backup_interval_seconds)

    def start(self, operation: Operation) -> bool:
        """Start a command in the background; return False if one that excludes it runs."""
        running = [other for other, task in self._running.items() if not task.done()]
        if any(not _may_run_together(operation, other) for other in running):
            return False
        task = asyncio.create_task(self._command(operation), name=f"backup {operation}")
        self._running[operation] = task
        return True

    async def run(self, succeeded: Succeeded = unwatched) -> None:
        """Check every few seconds for due commands and new records."""
        records = BackupRecords(self.settings.backup_records)
        try:
            while True:
                runs = self._with_unrecorded(await asyncio.to_thread(records.runs))
                known = await asyncio.to_thread(records.all)
                for operation in due(
                    runs,
                    interval=self.interval,
                    began=self._began,
                    now=clock.now(),
                    checked=min((record.last_checked for record in known.values()), default=None),
                ):
                    self.start(operation)
                self.metrics.show(self.interval, known, runs)
                if self.writer is not None and known != self._known:
                    await self._store(self.writer, known)
                succeeded()
                await asyncio.sleep(self.look_seconds)
        finally:
            for task in self._running.values():
                task.cancel()
            if self._running:
                await asyncio.wait(self._running.values())

    async def _store(self, writer: Writer, known: dict[str, Record]) -> None:
        made = {key: backup_of(record) for key, record in known.items()}
        try:
            await writer.run(partial(backups.replace, known=made, now=clock.now()))
        except StoreError as error:
            log.warning("backups_not_stored", error=str(error))
        else:
            self._known = known

    def _with_unrecorded(self, runs: dict[Operation, BackupRun]) -> dict[Operation, BackupRun]:
        newer = {
            operation: run
            for operation, run in self._unrecorded.items()
            if operation not in runs or runs[operation].at < run.at
        }
        return runs | newer

    def _record(self, operation: Operation, failed: BackupRun) -> None:
        """Without a record the command would be due again at once, and no metric would show it."""
        self._unrecorded[operation] = failed
        try:
            BackupRecords(self.settings.backup_records).ran(operation, failed)
        except (OSError, TradingOpsError) as error:  # a full disk, for example
            log.warning("backup_run_not_recorded", operation=operation.value, error=str(error))

    async def _command(self, operation: Operation) -> None:
        records = BackupRecords(self.settings.backup_records)
        before = await asyncio.to_thread(records.runs)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trading_ops.cli.main", "backup", *COMMANDS[operation]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.settings.root,
            env=child_environment(self.settings),
            preexec_fn=_give_way,
        )
        try:
            _, output = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # an interrupted command leaves either no backup or a complete one
            await process.wait()
            raise
        if process.returncode:
            text = output[-OUTPUT_BYTES:].decode(errors="replace").strip()
            log.error("backup_command_failed", operation=operation.value, output=text)
            after = await asyncio.to_thread(records.runs)
            if after.get(operation) == before.get(operation):
                detail = text or f"it ended with exit code {process.returncode}"
                failed = BackupRun(at=clock.now(), succeeded=False, detail=detail[-DETAIL:])
                await asyncio.to_thread(self._record, operation, failed)


def _may_run_together(one: Operation, other: Operation) -> bool:
    """Whether two commands have different locks, see `running`."""
    both = {one, other}
    return Operation.CREATE in both and bool(both & {Operation.VERIFY, Operation.RESTORE_TEST})


def _give_way() -> None:
    """Let the kernel kill this process and its children first when memory runs out."""
    path = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError, ValueError):
        path.write_text(str(max(OOM_SCORE, int(path.read_text()))))


def backup_of(record: Record) -> Backup:
    """Convert a record for the store."""
    seconds = record.restore_seconds
    return Backup(
        id=record.id,
        created_at=record.created_at,
        recoverable_to=record.recoverable_to,
        location=record.location,
        bytes=record.bytes,
        files=record.files,
        release=record.release,
        revision=record.revision,
        audit_head=record.audit_head,
        verified_at=record.verified_at,
        restore_tested_at=record.restore_tested_at,
        restore_milliseconds=None if seconds is None else round(seconds * 1000),
        problem=record.problem,
    )
