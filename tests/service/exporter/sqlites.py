"""A SQLite database that another process has open, and what the exporter says of it.

Locks of one's own process are none to oneself, so anyone who writes is a child.
"""

import hashlib
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from prometheus_client.metrics_core import Metric

from trading_ops.exporter.collector import PolledSource
from trading_ops.exporter.config import SqliteEntry
from trading_ops.exporter.databases.sqlite.source import Sqlite

CHILD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    try:
        answer = connection.execute(line).fetchall()
    except sqlite3.Error as error:
        answer = error
    print(repr(answer), flush=True)
connection.close()
"""
NOBODY_UID = 65534


class Writer:
    """A process that holds a database open and executes commands."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the database properly, unless the process is dead."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait(60)

    def do(self, *statements: str) -> str:
        """Carry out statements; return the answer to the last one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        answer = ""
        for statement in statements:
            self._process.stdin.write(statement + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline().strip()
        return answer

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(60)


def state(folder: Path) -> dict[str, tuple[str, int]]:
    """Return content and time of change of each file in a folder."""
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.iterdir()
        if path.is_file()
    }


def size(path: Path) -> int:
    """Return the size of a file."""
    return path.stat().st_size


def write(path: Path, data: bytes | bytearray) -> None:
    """Put these bytes in place of a file's."""
    path.write_bytes(data)


def source(path: Path, **named: Any) -> Sqlite:
    """Return a source without checks, unless given."""
    settings = {"check_interval_seconds": 0, "busy_seconds": 0.1} | named
    return Sqlite(SqliteEntry(name="bot", path=path, **settings))


def values(families: Iterable[Metric]) -> dict[str, float]:
    """Return values by `name` or `name:label`, without prefix and the database's label."""
    found = {}
    for family in families:
        for sample in family.samples:
            labels = list(sample.labels.values())
            assert labels[0] == "bot"
            name = sample.name.removeprefix("trading_sqlite_")
            found[":".join([name, *labels[1:]])] = sample.value
    return found


async def look(read: Sqlite) -> dict[str, float]:
    """Read once, as the exporter does, and return what a scrape has."""
    watched = PolledSource(read)
    await watched.once()
    return values(watched.figures())
