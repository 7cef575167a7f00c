"""Runs due backups in child processes, and publishes their state.

The commands write records; this task copies them to the store, the audit log and the metrics.
Backups by a timer or an operator are therefore included, even those taken while the reconciler was
down.
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
from trading_ops.backup.records import DETAIL, BackupRecords, BackupRun, Record
from trading_ops.config.environment import child_environment
from trading_ops.config.settings import Settings
from trading_ops.domain.backup import Backup, Operation
from trading_ops.errors import StoreError, TradingOpsError
from trading_ops.reconciler.metrics import BackupMetrics
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
    writer: Writer
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
                self._show(known, runs)
                if known != self._known:
                    await self._store(known)
                succeeded()
                await asyncio.sleep(self.look_seconds)
        finally:
            for task in self._running.values():
                task.cancel()
            if self._running:
                await asyncio.wait(self._running.values())

    async def _store(self, known: dict[str, Record]) -> None:
        made = {key: backup_of(record) for key, record in known.items()}
        try:
            await self.writer.run(partial(backups.replace, known=made, now=clock.now()))
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

    def _show(self, known: dict[str, Record], runs: dict[Operation, BackupRun]) -> None:
        metrics, stored = self.metrics, list(known.values())
        metrics.interval.set(self.interval.total_seconds())
        for operation in Operation:
            run = runs.get(operation)
            metrics.failed.labels(operation.value).set(run is not None and not run.succeeded)
        newest = stored[-1] if stored else None
        tested = [record for record in stored if record.restore_tested_at and not record.problem]
        last = max(tested, key=lambda record: _stamp(record.restore_tested_at), default=None)
        untested = [
            record for record in stored if last is None or record.created_at > last.created_at
        ]
        metrics.created.set(_stamp(newest.created_at if newest else None))
        metrics.recoverable.set(_stamp(newest.recoverable_to if newest else None))
        metrics.size.set(newest.bytes if newest else 0)
        metrics.free.set((newest and newest.free_bytes) or 0)
        metrics.capacity.set((newest and newest.file_system_bytes) or 0)
        metrics.verified.set(max((_stamp(record.verified_at) for record in stored), default=0.0))
        metrics.tested.set(_stamp(last.restore_tested_at if last else None))
        metrics.untested.set(min((_stamp(record.created_at) for record in untested), default=0.0))
        metrics.restore.set((last and last.restore_seconds) or 0.0)


def _may_run_together(one: Operation, other: Operation) -> bool:
    """Whether two commands have different locks, see `running`."""
    both = {one, other}
    return Operation.CREATE in both and bool(both & {Operation.VERIFY, Operation.RESTORE_TEST})


def _give_way() -> None:
    """Let the kernel kill this process and its children first when memory runs out."""
    path = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError, ValueError):
        path.write_text(str(max(OOM_SCORE, int(path.read_text()))))


def _stamp(at: datetime | None) -> float:
    return at.timestamp() if at else 0.0


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
