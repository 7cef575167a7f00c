"""Backups: list them, and run a backup command."""

import msgspec

from trading_ops import logs
from trading_ops.api.auth import Identity
from trading_ops.api.requests import conflict
from trading_ops.backup.scheduled import Backups
from trading_ops.domain.backup import Backup, Operation
from trading_ops.store import backups
from trading_ops.store.reader import Reader

log = logs.get(__name__)


class BackupPage(msgspec.Struct, kw_only=True):
    """Backups known to this host, newest first."""

    backups: list[Backup]


class BackupRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The command to run."""

    operation: Operation = Operation.CREATE


class BackupStarted(msgspec.Struct, kw_only=True):
    """The running command; `GET /api/v1/backups` shows the result."""

    operation: Operation


class BackupRoutes:
    """Handlers of `backups`."""

    def __init__(self, reader: Reader, backups: Backups) -> None:
        self._reader = reader
        self._backups = backups

    async def show(self) -> BackupPage:
        """Return the backups, newest first."""
        return BackupPage(backups=await self._reader.read(backups.read))

    async def start(self, identity: Identity, body: BackupRequest) -> BackupStarted:
        """Take, verify, restore-test or prune backups now; 409 while another command runs."""
        if not self._backups.start(body.operation):
            conflict("another backup command is running")
        log.info("backup_requested", operation=body.operation.value, owner=identity.name)
        return BackupStarted(operation=body.operation)
