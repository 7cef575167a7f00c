"""An installation whose reconciler keeps its store in PostgreSQL, and orders written beside it."""

import contextlib
import shutil
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import msgspec
import psycopg
from sqlalchemy import make_url

from tests.backup.installation import Installation
from tests.postgres import Cluster
from trading_ops.backup.manifest import Manifest
from trading_ops.backup.postgresql import chain, recovery
from trading_ops.backup.verify import fetch

SETTINGS = {"wal_keep_size": "16MB", "track_commit_timestamp": "on"}
"""The least that backups need, and that the server itself says when each order was committed."""

Orders = list[tuple[int, datetime]]


def make(root: Path, cluster: Cluster) -> Installation:
    """Make the folder, with a store in a new database; its role may take backups."""
    url = cluster.new_database()
    cluster.execute("ALTER ROLE trading_ops REPLICATION")
    root.mkdir()
    made = Installation.make(root, database=url)
    with connected(url) as connection:
        connection.execute("CREATE TABLE orders (id bigint PRIMARY KEY, note text)")
    return made


@contextlib.contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Connect to a database, each statement a transaction."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        yield connection


def age_base(installation: Installation) -> None:
    """Make the bases on this host a day older: one; none or two after a kill."""
    for path in installation.settings.backup_work.glob("postgresql/bases/*/base.json"):
        base = msgspec.json.decode(path.read_bytes(), type=chain.Base)
        older = msgspec.structs.replace(base, taken_at=base.taken_at - timedelta(days=1))
        path.write_bytes(msgspec.json.encode(older))


@contextlib.contextmanager
def server_of(data: Path, password: str) -> Iterator[Cluster]:
    """Run a server of its own on a restored data folder, which is moved."""
    made = Cluster()
    try:
        made.make()
        made.password = password
        shutil.rmtree(made.folder / "data")
        shutil.move(data, made.folder / "data")
        made.start()
        yield made
    finally:
        made.remove()


class Writing:
    """Writes one order after another, each in a transaction of its own."""

    def __init__(self, url: str) -> None:
        self._url, self._end = url, threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.written = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _write(self) -> None:
        with connected(self._url) as connection:
            while not self._end.is_set():
                self.written += 1
                connection.execute(
                    "INSERT INTO orders VALUES (%s, repeat('x', 200))", [self.written]
                )


def committed(url: str) -> Orders:
    """Return all orders with the time of their commit, in its order."""
    with connected(url) as connection:
        return connection.execute(
            "SELECT id, pg_xact_commit_timestamp(xmin) FROM orders ORDER BY id"
        ).fetchall()  # type: ignore[return-value]


def recovered_orders(
    installation: Installation, manifest: Manifest, to: datetime, scratch: Path
) -> list[int]:
    """Restore a moment from a backup, and return its orders."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    assert manifest.covers(to)
    assert fetch(installation.repository, manifest, scratch) == []
    target = recovery.RecoveryTarget(time=to)
    with (
        recovery.recovered(scratch / "postgresql", target, scratch=True) as server,
        connected(server.url) as connection,
    ):
        return [int(str(row[0])) for row in connection.execute("SELECT id FROM orders ORDER BY 1")]
