"""PostgreSQL's part of `backup create`."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from msgspec.structs import replace

from trading_ops.backup.manifest import CapturedDatabase, FileEntry
from trading_ops.backup.postgresql import wal
from trading_ops.backup.postgresql.chain import Base, Chain
from trading_ops.backup.postgresql.pgbackrest import PgBackRest, Taken
from trading_ops.backup.postgresql.server import NAME, Server
from trading_ops.config.settings import Settings

Set = TypeVar("Set", Base, Taken)


class CaptureDriver(Protocol[Set]):
    """Takes base backups and WAL, and stores on this host what the next backup needs."""

    def refresh(self, server: Server) -> Set:
        """Take a base if one is due; return the base of this backup."""

    def receive(self, server: Server, base: Set, end: int) -> None:
        """Receive the WAL up to a position."""

    def stage(self, base: Set, into: Path) -> dict[str, FileEntry]:
        """Add the base and its WAL to a backup's folder; return the known entries."""

    def forget(self) -> None:
        """Remove all bases except the newest, once a backup with them is stored."""


class Captured(NamedTuple):
    """The staged database."""

    database: CapturedDatabase
    known: dict[str, FileEntry]
    """Entries of files that need not be read again, by path in the backup."""

    chain: "CaptureDriver[Any]"


def capture(settings: Settings, url: str, staging: Path) -> Captured:
    """Add the base and all WAL up to now to the staging folder.

    Raises:
        StoreError: the server failed.
        SetupError: it cannot be backed up this way, or a program is missing.
    """
    if settings.backup_pgbackrest is None:
        return _capture(Chain(settings.backup_work / NAME), url, staging, streams=True)
    driver = PgBackRest(settings.backup_work / "pgbackrest", settings.backup_pgbackrest)
    return _capture(driver, url, staging, streams=False)


def _capture(chain: CaptureDriver[Set], url: str, staging: Path, *, streams: bool) -> Captured:
    with Server.connect(url, streams=streams) as server:
        base = chain.refresh(server)
        described = server.describe()
        recoverable_to = server.now()
        end = server.mark()
        chain.receive(server, base, end)
    known = chain.stage(base, staging / NAME)
    database = replace(
        described,
        wal_start=base.start,
        wal_end=wal.written(end),
        recoverable_from=base.taken_at,
        recoverable_to=recoverable_to,
    )
    placed = {
        f"{NAME}/{path}": replace(entry, path=f"{NAME}/{path}") for path, entry in known.items()
    }
    return Captured(database, placed, chain)
