"""Backups of the records of this host's bots, on a host without a reconciler."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry

from trading_ops.backup.metrics import BackupMetrics
from trading_ops.backup.records import BackupRecords
from trading_ops.backup.scheduled import Backups
from trading_ops.clients.node import HostBackups
from trading_ops.config.settings import Settings
from trading_ops.tasks import Tasks


class NodeBackups:
    """Takes, tests and prunes backups of `backup_folders`, as a reconciler does on its own host."""

    def __init__(self, settings: Settings, registry: CollectorRegistry, *, wanted: bool) -> None:
        """Register the metrics if there is something to back up.

        Args:
            settings: of this host.
            registry: for the metrics.
            wanted: whether this node takes backups; False: a reconciler of this host does.
        """
        self._bots = sorted(settings.backup_folders) if wanted else []
        self._records = BackupRecords(settings.backup_records)
        self._backups = (
            Backups(settings=settings, writer=None, metrics=BackupMetrics(registry))
            if self._bots
            else None
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take backups while the context lasts."""
        if self._backups is None:
            yield
            return
        async with Tasks(on_success=lambda _name, _at: None).running("backups", self._backups.run):
            yield

    async def describe(self, _request: web.Request) -> web.Response:
        """Return which bots are backed up, and the times of the newest backup and restore test."""
        stored = await asyncio.to_thread(self._records.all) if self._backups else {}
        tested = (record.restore_tested_at for record in stored.values() if not record.problem)
        found = HostBackups(
            interval_seconds=self._backups.interval.total_seconds() if self._backups else 0.0,
            bots=self._bots,
            newest=max((record.created_at for record in stored.values()), default=None),
            restore_tested=max(filter(None, tested), default=None),
        )
        return web.json_response(msgspec.to_builtins(found))
