"""PostgreSQL: a base and its WAL are in a backup, and any moment since can be restored."""

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.backup import kills, pitr, postgresql
from tests.backup.flips import flip, is_found, stored_files
from tests.backup.installation import Installation
from tests.postgres import Cluster
from trading_ops.backup import create, prune
from trading_ops.backup.guards import FENCES
from trading_ops.backup.in_place import restore_in_place
from trading_ops.backup.manifest import Damaged
from trading_ops.backup.postgresql import recovery
from trading_ops.backup.records import BackupRecords
from trading_ops.backup.restore import choose, restore_into
from trading_ops.backup.verify import fetch
from trading_ops.domain.backup import Operation
from trading_ops.errors import SetupError, StoreError


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One server for all tests here."""
    with Cluster(settings=postgresql.SETTINGS) as made:
        yield made


@pytest.fixture
def installation(cluster: Cluster, tmp_path: Path) -> Iterator[Installation]:
    """An installation with its store in this server."""
    made = postgresql.make(tmp_path / "project", cluster)
    yield made
    cluster.drop(made.settings.database_url)


@pytest.mark.processes
def test_random_moments_are_restored_row_by_row(cluster: Cluster, tmp_path: Path) -> None:
    """While orders are written; the restore test then counts them exactly."""
    result = pitr.run(cluster, tmp_path, targets=3, backups=3, seed=random.randrange(10**6))
    assert result.wrong == []
    assert result.written


@pytest.mark.slow
def test_what_is_restored_is_a_data_folder_of_that_moment(
    installation: Installation, cluster: Cluster, tmp_path: Path
) -> None:
    """It starts as it is, without the WAL of the backup; the rest of the backup is beside it."""
    url = installation.settings.database_url
    installation.back_up()
    with postgresql.connected(url) as connection:
        connection.execute("INSERT INTO orders VALUES (1)")
        ((to,),) = connection.execute("SELECT clock_timestamp()")
        assert isinstance(to, datetime)
        connection.execute("DELETE FROM orders")
    installation.back_up()
    manifests = installation.manifests()
    chosen = choose(manifests, to=to)
    assert chosen == manifests[1]
    restore_into(installation.repository, chosen, tmp_path / "new", to)
    assert (tmp_path / "new/config/targets.yml").is_file()
    assert not (tmp_path / "new/postgresql/data/postmaster.pid").exists()
    with postgresql.server_of(tmp_path / "new/postgresql/data", cluster.password) as twin:
        assert twin.execute("SELECT id FROM orders", url.rpartition("/")[2]) == [(1,)]


@pytest.mark.processes
def test_the_restore_test_needs_no_memory_that_is_writable_and_executable(
    installation: Installation, tmp_path: Path
) -> None:
    """The hardened unit allows none: with JIT, counting a large table would end the session."""
    installation.back_up()
    (manifest,) = installation.manifests()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert fetch(installation.repository, manifest, scratch) == []
    with (
        recovery.recovered(
            scratch / "postgresql", recovery.RecoveryTarget(), scratch=True
        ) as server,
        postgresql.connected(server.url) as connection,
    ):
        assert connection.execute("SHOW jit").fetchone() == ("off",)


@pytest.mark.parametrize("exact", [pytest.param(False, marks=pytest.mark.slow), True])
def test_in_place_nothing_old_can_be_replayed(
    installation: Installation, cluster: Cluster, *, exact: bool
) -> None:
    """Fences are raised in the store, bots are held, the audit log is whole; to a moment too."""
    installation.back_up()
    to = installation.manifests()[0].recoverable_to
    installation.write_events(5)
    installation.back_up()
    before = installation.head().seq
    manifest = choose(installation.manifests(), to=to if exact else None)
    restored = restore_in_place(
        installation.settings,
        installation.repository,
        manifest,
        owner="ann",
        to=to if exact else None,
    )
    assert restored.postgresql is not None
    name = installation.settings.database_url.rpartition("/")[2]
    with postgresql.server_of(restored.postgresql, cluster.password) as twin:
        ((fence,),) = twin.execute("SELECT fence FROM fences WHERE target = 'alpha'", name)
        assert fence > FENCES
        assert twin.execute("SELECT target, state, owner FROM holds", name) == [
            ("alpha", "reducing", "ann")
        ]
        ((head,),) = twin.execute("SELECT seq FROM chain", name)
        assert head < before if exact else head > before
        moved = Installation(installation.root, database=twin.url(name))
        assert kills.verdict_of(moved)


@pytest.mark.slow
def test_a_new_base_leaves_no_moment_out(installation: Installation, tmp_path: Path) -> None:
    """The first backup of a day has the old base still, and WAL to beyond the new one's start."""
    url = installation.settings.database_url
    installation.back_up()
    postgresql.age_base(installation)
    with postgresql.connected(url) as connection:
        connection.execute("INSERT INTO orders VALUES (1)")
    for number in range(2):
        installation.back_up()
        installation.write_events(number + 1)
    installation.back_up()
    first, turned, new, newest = [manifest.databases[0] for manifest in installation.manifests()]
    assert first.wal_start == turned.wal_start != new.wal_start == newest.wal_start
    assert turned.recoverable_to is not None
    assert new.recoverable_from is not None
    assert new.recoverable_from < turned.recoverable_to
    manifests = installation.manifests()
    for at in (1, 3):
        to = manifests[at].recoverable_to
        assert postgresql.recovered_orders(
            installation, choose(manifests, to=to), to, tmp_path / "scratch"
        ) == [1]


@pytest.mark.slow
def test_wal_that_the_server_removed_costs_a_new_base(
    installation: Installation, cluster: Cluster
) -> None:
    """No backup claims moments that it cannot restore."""
    installation.back_up()
    for _ in range(6):
        cluster.execute("SELECT pg_switch_wal()")
        cluster.execute("CHECKPOINT")
        with postgresql.connected(installation.settings.database_url) as connection:
            connection.execute("INSERT INTO orders SELECT coalesce(max(id), 0) + 1 FROM orders")
    installation.back_up()
    manifests = installation.manifests()
    before, after = (manifest.databases[0] for manifest in manifests)
    assert before.recoverable_to is not None
    assert after.wal_start != before.wal_start
    between = before.recoverable_to + timedelta(microseconds=1)
    assert choose(manifests, to=between) == manifests[0]
    installation.restore_test(manifests[1])


@pytest.mark.slow
def test_a_flipped_bit_in_a_base_or_its_wal_is_found(
    installation: Installation, tmp_path: Path
) -> None:
    """Anywhere in what is stored."""
    installation.back_up()
    (manifest,) = installation.manifests()
    chosen = random.Random(4)
    files = stored_files(installation.root / "backups")
    largest = sorted(files, key=lambda file: file.stat().st_size)[-8:]
    for path in [*largest, *chosen.sample(files, 4)]:
        bit = chosen.randrange(max(8 * path.stat().st_size, 1))
        if path.stat().st_size:
            flip(path, bit)
            assert is_found(installation, manifest, tmp_path / "scratch")
            flip(path, bit)
    assert not is_found(installation, manifest, tmp_path / "scratch")


@pytest.mark.slow
def test_an_index_that_was_damaged_before_the_backup_is_found(
    installation: Installation, cluster: Cluster
) -> None:
    """Every file is as the server had it; only opening it shows that it is not right."""
    url = installation.settings.database_url
    name = url.rpartition("/")[2]
    with postgresql.connected(url) as connection:
        connection.execute("INSERT INTO orders SELECT generate_series(1, 2000)")
    ((place,),) = cluster.execute("SELECT pg_relation_filepath('orders_pkey')", name)
    cluster.stop("fast")
    with (cluster.folder / "data" / place).open("r+b") as file:
        file.seek(2 * 8192 + 8000)
        file.write(os.urandom(64))
    cluster.start()
    installation.back_up()
    with pytest.raises(Damaged, match="orders_pkey"):
        installation.restore_test(installation.manifests()[-1])


@pytest.mark.processes
def test_a_server_that_is_down_is_reported(installation: Installation, cluster: Cluster) -> None:
    """The backup before it stays, and the next one succeeds."""
    installation.back_up()
    cluster.stop("kill")
    try:
        with pytest.raises(StoreError, match="PostgreSQL"):
            installation.back_up()
    finally:
        cluster.start()
    runs = BackupRecords(installation.settings.backup_records).runs()
    assert not runs[Operation.CREATE].succeeded
    installation.restore_test(installation.manifests()[0])
    installation.back_up()
    installation.restore_test(installation.manifests()[1])


@pytest.mark.slow
def test_a_server_that_dies_during_a_base_backup_is_reported(
    installation: Installation, cluster: Cluster
) -> None:
    """No half of a base is used by the next backup."""
    data = installation.settings.backup_work / "postgresql/bases/new/data"
    with ThreadPoolExecutor(1) as pool:
        backup = pool.submit(installation.back_up)
        while not data.exists():
            assert not backup.done()
        cluster.pause()
        cluster.stop("kill")
        try:
            with pytest.raises(StoreError, match="pg_basebackup"):
                backup.result(60)
        finally:
            cluster.start()
    assert installation.manifests() == []
    installation.back_up()
    installation.restore_test(installation.manifests()[0])


@pytest.mark.slow
def test_sigkill_leaves_what_can_be_restored(installation: Installation, tmp_path: Path) -> None:
    """At a few changes of a file, during the first backup and a later one; the sweep has more."""
    installation.back_up()
    postgresql.age_base(installation)
    changes = 200
    for last in random.Random(5).sample(range(1, changes), 3):
        assert kills.live(lambda: kills.create(installation), last) == -1
        assert installation.manifests()
    kills.create(installation)
    for manifest in (installation.manifests()[0], installation.manifests()[-1]):
        installation.restore_test(manifest)
    for last in (30, 2000):
        into = tmp_path / f"new{last}"
        work = partial(restore_into, installation.repository, manifest, into)
        assert kills.live(work, last) == -1
        assert not into.exists()
        work()
        assert (into / "postgresql/data/PG_VERSION").is_file()


@pytest.mark.processes
def test_a_role_without_the_right_gets_the_fix(
    installation: Installation, cluster: Cluster
) -> None:
    """The reconciler's role needs no such right: another one can be named."""
    cluster.execute("ALTER ROLE trading_ops NOREPLICATION")
    try:
        with pytest.raises(SetupError, match="backup_database"):
            installation.back_up()
        database = cluster.url(installation.settings.database_url.rpartition("/")[2], role="admin")
        settings = replace(installation.settings, backup_database=database)
        create.create(settings, installation.repository)
    finally:
        cluster.execute("ALTER ROLE trading_ops REPLICATION")
    assert len(installation.manifests()) == 1


@pytest.mark.slow
def test_the_last_backup_of_a_base_is_kept_for_its_day(installation: Installation) -> None:
    """By the day of its base, as it covers that day to its end."""
    installation.back_up()
    postgresql.age_base(installation)
    for _ in range(3):
        installation.back_up()
    _, turned, _, newest = installation.manifests()
    installation.restore_test(newest)
    settings = replace(
        installation.settings,
        backup_keep_last=1,
        backup_keep_hourly=0,
        backup_keep_daily=2,
        backup_keep_weekly=0,
        backup_keep_monthly=0,
    )
    prune.prune(settings, installation.repository)
    assert [manifest.id for manifest in installation.manifests()] == [turned.id, newest.id]
