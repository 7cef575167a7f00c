"""PostgreSQL through pgBackRest: full and incremental sets, WAL, and any moment since."""

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.backup import pgbackrest, postgresql
from tests.backup.installation import Installation
from tests.postgres import Cluster
from trading_ops.backup.postgresql.pgbackrest import PgBackRest
from trading_ops.backup.records import BackupRecords
from trading_ops.backup.restore import choose, restore_into
from trading_ops.domain.backup import Operation
from trading_ops.errors import SetupError


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A server that archives its WAL."""
    if shutil.which("pgbackrest") is None:
        pytest.skip("pgBackRest is not installed: run scripts/setup.sh --dev")
    with Cluster(settings={"track_commit_timestamp": "on"}) as made:
        pgbackrest.set_up(made)
        yield made


@pytest.fixture
def archiving(cluster: Cluster, tmp_path: Path) -> Installation:
    """An installation with its store in this server; its role has no right to replicate."""
    made = postgresql.make(tmp_path / "project", cluster)
    cluster.execute("ALTER ROLE trading_ops NOREPLICATION")
    config = cluster.folder / "pgbackrest/pgbackrest.conf"
    made.settings = replace(made.settings, backup_pgbackrest=config)
    return made


def sets(cluster: Cluster) -> list[str]:
    """Return the labels of the sets in the repository."""
    folder = cluster.folder / "pgbackrest/repository/backup" / pgbackrest.STANZA
    return sorted(path.name for path in folder.iterdir() if path.name[:1].isdigit())


@pytest.mark.slow
def test_what_is_restored_is_a_data_folder_of_that_moment(
    archiving: Installation, cluster: Cluster, tmp_path: Path
) -> None:
    """A full set and WAL: the restored server needs neither; the restore test passes."""
    url = archiving.settings.database_url
    archiving.back_up()
    with postgresql.connected(url) as connection:
        connection.execute("INSERT INTO orders VALUES (1)")
        ((to,),) = connection.execute("SELECT clock_timestamp()")
        assert isinstance(to, datetime)
        connection.execute("DELETE FROM orders")
    archiving.back_up()
    manifests = archiving.manifests()
    assert [manifest.postgresql is not None for manifest in manifests] == [True, True]
    archiving.restore_test(manifests[1])
    restore_into(archiving.repository, choose(manifests, to=to), tmp_path / "new", to)
    assert {path.name for path in (tmp_path / "new/postgresql").iterdir()} == {
        "data",
        "layout.json",
    }
    with postgresql.server_of(tmp_path / "new/postgresql/data", cluster.password) as twin:
        assert twin.execute("SELECT id FROM orders", url.rpartition("/")[2]) == [(1,)]
        assert twin.execute("SHOW restore_command") == [("",)]


@pytest.mark.long
def test_a_new_set_leaves_no_gap(archiving: Installation, cluster: Cluster, tmp_path: Path) -> None:
    """The first backup of a day has the old set still, and WAL to beyond the end of the new one."""
    url = archiving.settings.database_url
    archiving.back_up()
    pgbackrest.age_set(archiving)
    with postgresql.Writing(url):
        for _ in range(3):
            archiving.back_up()
    first, turned, new, _ = (manifest.databases[0] for manifest in archiving.manifests())
    assert first.wal_start == turned.wal_start != new.wal_start
    assert turned.recoverable_to is not None
    assert new.recoverable_from is not None
    assert new.recoverable_from < turned.recoverable_to
    full, incremental = sets(cluster)
    assert full.endswith("F")
    assert incremental.endswith("I")
    orders = postgresql.committed(url)
    manifests = archiving.manifests()
    second = timedelta(seconds=1)
    for moment in (new.recoverable_from - second, new.recoverable_from, turned.recoverable_to):
        chosen = choose(manifests, to=moment)
        assert postgresql.recovered_orders(archiving, chosen, moment, tmp_path / "scratch") == [
            number for number, at in orders if at <= moment
        ]
    archiving.restore_test(manifests[-1])


@pytest.mark.long
def test_sets_of_others_stay(archiving: Installation, cluster: Cluster) -> None:
    """A full set of an operator is neither removed nor in the way."""
    archiving.back_up()
    (own,) = sets(cluster)
    settings = archiving.settings
    assert settings.backup_pgbackrest is not None
    driver = PgBackRest(settings.backup_work / "pgbackrest", settings.backup_pgbackrest)
    driver._run("backup", "--type=full", "--start-fast", "--no-expire-auto")
    (theirs,) = set(sets(cluster)) - {own}
    pgbackrest.age_set(archiving)
    for _ in range(3):
        archiving.back_up()
    left = sets(cluster)
    assert theirs in left
    assert own not in left
    archiving.restore_test(archiving.manifests()[-1])


@pytest.mark.long
def test_lost_wal_costs_a_new_set(archiving: Installation, cluster: Cluster) -> None:
    """No backup claims moments that it cannot restore."""
    archiving.back_up()
    archive = cluster.folder / "pgbackrest/repository/archive"
    for _ in range(2):
        archiving.back_up()
    lost = sorted(path for path in archive.rglob("*.gz"))[-2]
    lost.unlink()
    archiving.back_up()
    manifests = archiving.manifests()
    before, after = (manifest.databases[0] for manifest in manifests[-2:])
    assert after.wal_start != before.wal_start
    archiving.restore_test(manifests[-1])


@pytest.mark.processes
def test_what_it_cannot_use_is_refused(installation: Installation, tmp_path: Path) -> None:
    """Two stanzas, an encrypted repository, or none; it is noted as a failed backup."""
    config = tmp_path / "pgbackrest.conf"
    installation.settings = replace(
        installation.settings,
        backup_pgbackrest=config,
        backup_database="postgresql://backup@127.0.0.1:1/orders",
    )
    for text, message in (
        ("[global]\n", "0 stanzas"),
        ("[a]\n[b]\n", "2 stanzas"),
        ("[global]\nrepo1-type=s3\n[a]\n", "must be a folder"),
        ("[global]\nrepo1-cipher-type=aes-256-cbc\n[a]\n", "must be a folder"),
        (f"[global]\nrepo1-path={tmp_path}/none\n[a]\n", "does not exist"),
    ):
        config.write_text(text)
        with pytest.raises(SetupError, match=message):
            installation.back_up()
    assert (
        not BackupRecords(installation.settings.backup_records).runs()[Operation.CREATE].succeeded
    )
