"""PostgreSQL's part of `backup create`."""

from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from trading_ops.backup.manifest import Database, Entry
from trading_ops.backup.postgresql import wal
from trading_ops.backup.postgresql.chain import Chain
from trading_ops.backup.postgresql.server import NAME, Server
from trading_ops.config.settings import Settings


class Captured(NamedTuple):
    """What was staged."""

    database: Database
    known: dict[str, Entry]
    """Entries of files that need not be read again, by their path in the backup."""

    chain: Chain


def capture(settings: Settings, url: str, staging: Path) -> Captured:
    """Put the base and all WAL up to now into the staging folder.

    Raises:
        StoreError: the server failed meanwhile.
        SetupError: it cannot be backed up this way, or a program is missing.
    """
    chain = Chain(settings.backup_work / NAME)
    with Server.connect(url) as server:
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
    placed = {f"{NAME}/{path}": replace(one, path=f"{NAME}/{path}") for path, one in known.items()}
    return Captured(database, placed, chain)
