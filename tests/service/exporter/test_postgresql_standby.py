"""A primary and a standby that follows it: what each tells of the other, and of the loss of it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Cluster, binary
from tests.service.exporter.postgresqls import client, entry, look, role
from tests.waiting import eventually
from trading_ops.exporter.databases.postgresql.source import Postgresql, PostgresqlStorage

pytestmark = pytest.mark.processes


@pytest.fixture
def primary() -> Iterator[Cluster]:
    with Cluster(fast=True) as cluster:
        cluster.new_database(migrated=False)
        role(cluster, "watcher", "pg_read_all_stats")
        yield cluster


@pytest.fixture
def standby(primary: Cluster) -> Iterator[Cluster]:
    follower = Cluster(fast=True)
    follower.make()
    try:
        data = follower.folder / "data"
        shutil.rmtree(data)
        source = f"host=127.0.0.1 port={primary.port} user=admin password={primary.password}"
        command = [binary("pg_basebackup"), "-D", str(data), "-d", source, "-R", "-c", "fast"]
        subprocess.run(command, check=True, capture_output=True, **follower._as_owner())
        follower.password = primary.password
        follower.start()
        yield follower
    finally:
        follower.remove()


async def test_both_sides_of_replication(
    primary: Cluster, standby: Cluster, tmp_path: Path
) -> None:
    """They agree; a pause on one is lag on the other; without its primary a standby knows that."""
    url = primary.url("test_1")
    here, there = tmp_path / "primary", tmp_path / "standby"
    here.mkdir()
    there.mkdir()
    ahead = Postgresql(entry(here, primary, url, user="watcher"))
    behind = Postgresql(entry(there, standby, url, user="watcher"))

    async def follows() -> dict[str, float] | None:
        seen = await look(behind)
        return seen if seen["up"] and seen["standby_lag_seconds"] == 0 else None

    seen = await eventually(follows)
    assert seen["in_recovery"] == seen["standby_receiving"] == 1
    assert not [name for name in seen if name.startswith("statistic_unavailable")]
    seen = await look(ahead)
    assert seen["replicas"] == 1
    assert seen["in_recovery"] == 0
    assert "standby_lag_seconds" not in seen
    assert (await look(PostgresqlStorage(entry(there, standby, url, user="watcher"))))[
        "size_bytes"
    ] > 0

    standby.execute("SELECT pg_wal_replay_pause()")
    with client(url, autocommit=True) as busy:
        busy.execute("CREATE TABLE t AS SELECT g FROM generate_series(1, 10000) AS g")

    async def lags() -> bool:
        late = await look(ahead)
        # There is no lag to tell of while the standby connects again.
        return (
            late.get("replication_lag_bytes", 0) > 100_000
            and late.get("replication_lag_seconds", 0) > 0
        )

    await eventually(lags)

    async def is_late() -> bool:
        return (await look(behind))["standby_lag_seconds"] > 0

    await eventually(is_late)
    standby.execute("SELECT pg_wal_replay_resume()")
    await eventually(follows)

    primary.stop("kill")

    async def alone() -> dict[str, float] | None:
        seen = await look(behind)
        return seen if seen["standby_receiving"] == 0 else None

    seen = await eventually(alone)
    assert seen["up"] == 1
    assert seen["standby_lag_seconds"] > 0  # though all that was received is replayed
    ahead.close()
    behind.close()
