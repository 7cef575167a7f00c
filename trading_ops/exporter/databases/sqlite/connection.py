"""Opens a SQLite file so that reading changes nothing in it or next to it.

Debian 12's SQLite is one of the versions whose WAL can be corrupted by two connections that write
or checkpoint at the same time. A plain read-only connection writes too: into the -shm file, and in
WAL mode it leaves behind a -wal and a -shm file owned by the exporter's user, so that the bot can
no longer write. Hence, in WAL mode:

- With a -wal file: the -shm file is opened read-only as well (`readonly_shm`). Such a connection
   cannot checkpoint, recover or reset the WAL.
- Without one no process has the database open, and the file alone is the database: it is read as
  `immutable`, and the result is discarded if the file changed in between.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from trading_ops.exporter.databases.sqlite.failure import (
    CHANGED,
    NEEDS_RECOVERY,
    SqliteFailure,
    of_sqlite,
)
from trading_ops.exporter.databases.sqlite.files import Files, look

STEPS_BETWEEN_CHECKS = 10_000
"""Steps of SQLite's virtual machine between two checks of the clock."""


@contextlib.contextmanager
def reading(
    path: Path, files: Files, *, wal: bool, busy_seconds: float, within: float
) -> Iterator[sqlite3.Connection]:
    """Yield a connection with an open read transaction: one consistent snapshot.

    Args:
        path: the file.
        files: the current files.
        wal: whether the header has WAL mode.
        busy_seconds: timeout for a lock.
        within: timeout in seconds for each statement.

    Raises:
        SqliteFailure: it cannot be opened or read, or another process changed it during the read.
    """
    mode = _mode(files, wal=wal)
    end = time.monotonic() + within
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?{mode}",
            uri=True,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise of_sqlite(error) from error
    try:
        connection.set_progress_handler(lambda: time.monotonic() > end, STEPS_BETWEEN_CHECKS)
        # Truncating a memory-mapped file would kill the process.
        for pragma in ("mmap_size=0", "query_only=ON", "trusted_schema=OFF", "cell_size_check=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        yield connection
    except sqlite3.Error as error:
        raise of_sqlite(error) from error
    finally:
        connection.close()
    if "immutable" in mode and look(path).identity != files.identity:
        raise SqliteFailure(CHANGED, "another process opened the database while it was read; retry")


def _mode(files: Files, *, wal: bool) -> str:
    if not wal:
        return "mode=ro"
    if not files.wal_size and not files.has_shared_memory:
        return "mode=ro&immutable=1"
    if not files.has_shared_memory:
        raise SqliteFailure(NEEDS_RECOVERY, "there is a -wal file without its -shm file")
    if files.wal_size is None:
        return "mode=ro&immutable=1"
    return "mode=ro&readonly_shm=1"
