"""A backup holds everything, restores as it was taken, and says when it does not."""

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.backup.installation import Installation
from trading_ops import clock
from trading_ops.backup import disk, prune, sqlite
from trading_ops.backup.in_place import restore_in_place
from trading_ops.backup.manifest import Damaged, decode, encode
from trading_ops.backup.records import BackupRecords
from trading_ops.backup.repository import open_repository
from trading_ops.backup.restore import choose, restore_into
from trading_ops.domain.backup import Operation
from trading_ops.errors import SetupError, StoreError
from trading_ops.store import migrate

pytestmark = pytest.mark.processes


def test_what_was_taken_is_what_is_restored(installation: Installation, tmp_path: Path) -> None:
    """The databases while they are in use, with what only their WAL has; and every plain file."""
    earlier = installation.settings.var / "restored-1"
    earlier.mkdir()
    (earlier / "a").write_text("not in a backup")
    with sqlite3.connect(installation.bot / "bot.db") as writing:
        writing.execute("INSERT INTO orders (created_at) VALUES (99.5)")
        writing.commit()
        assert (installation.bot / "bot.db-wal").stat().st_size > 0
        record = installation.back_up()
        (manifest,) = installation.manifests()
    restore_into(installation.repository, manifest, tmp_path / "new")
    with sqlite3.connect(tmp_path / "new/var/bot-alpha/bot.db") as copy:
        assert copy.execute("SELECT max(created_at) FROM orders").fetchone() == (99.5,)
    silences = installation.settings.var / "alertmanager/data/silences"
    assert (
        tmp_path / "new" / "var/alertmanager/data/silences"
    ).read_bytes() == silences.read_bytes()
    for name in ("holds.json", "fence.json"):
        copied = tmp_path / "new/var/bot-alpha" / name
        assert copied.read_bytes() == (installation.bot / name).read_bytes()
        assert stat.S_IMODE(copied.stat().st_mode) == stat.S_IMODE(
            (installation.bot / name).stat().st_mode
        )
    paths = {entry.path for entry in manifest.entries}
    assert "var/restored-1/a" not in paths
    assert {
        "config/settings.yml",
        "config/targets.yml",
        "config/runbooks/A.md",
        "config/prometheus/rules.yml",
        "var/audit/anchors",
        "var/nonces/key/ceiling",
        "var/reconciler/reconciler.db",
    } <= paths
    assert not {path for path in paths if "/log/" in path or path.endswith(("-wal", "lock"))}
    # Only who has the password can read them.
    assert manifest.secrets is installation.repository.encrypted
    private = {"var/secrets/audit_key", "var/tls/ca.key", "var/tls/reconciler.key"}
    assert paths & private == (private if installation.repository.encrypted else set())
    assert "var/tls/ca.crt" in paths
    assert (record.revision, record.audit_head) == (migrate.HEAD, installation.head().seq)


def test_a_restore_test_opens_what_was_stored(installation: Installation) -> None:
    """Counts, newest rows, the schema and the audit chain; the time it takes is the RTO."""
    installation.back_up()
    (manifest,) = installation.manifests()
    record = installation.restore_test(manifest)
    assert record.problem == ""
    assert record.verified_at is not None
    assert record.restore_tested_at is not None
    assert record.restore_seconds is not None
    runs = BackupRecords(installation.settings.backup_records).runs()
    assert runs[Operation.CREATE].succeeded
    assert runs[Operation.RESTORE_TEST].succeeded
    leftovers = {path.name for path in installation.settings.backup_work.iterdir()}
    assert not leftovers & {"create", "verify"}


def test_a_restore_test_finds_a_log_that_was_changed_before_the_backup(
    installation: Installation,
) -> None:
    """Every file is as it was taken, and yet it is not what it should be."""
    path = installation.settings.var / "reconciler/reconciler.db"
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER events_no_update")
        connection.execute("UPDATE events SET note = 'another' WHERE seq = 2")
    installation.back_up()
    (manifest,) = installation.manifests()
    with pytest.raises(Damaged, match="audit"):
        installation.restore_test(manifest)
    record = BackupRecords(installation.settings.backup_records).all()[manifest.id]
    assert record.problem
    assert record.restore_tested_at is None
    assert (
        not BackupRecords(installation.settings.backup_records)
        .runs()[Operation.RESTORE_TEST]
        .succeeded
    )


def test_a_damaged_database_is_not_stored(installation: Installation) -> None:
    """A backup of a corrupt file would push out the good ones before it."""
    path = installation.bot / "bot.db"
    with installation.records() as records:
        records.execute("PRAGMA journal_mode=DELETE")
        records.execute("CREATE TABLE filler (id INTEGER PRIMARY KEY, text TEXT)")
        records.executemany("INSERT INTO filler (text) VALUES (?)", [("x" * 400,)] * 200)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(StoreError, match=r"bot\.db"):
        installation.back_up()
    assert installation.manifests() == []
    assert (
        not BackupRecords(installation.settings.backup_records).runs()[Operation.CREATE].succeeded
    )


def test_a_database_that_stays_locked_fails_the_backup(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not hang for as long as another program holds the lock."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(sqlite, "CHECK_SECONDS", 0.1)
    with installation.records() as records:
        records.execute("PRAGMA journal_mode=DELETE")
        records.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=r"bot\.db .*locked"):
            installation.back_up()
    installation.back_up()


def test_a_venue_that_runs_here_is_not_in_a_backup(installation: Installation) -> None:
    """The paper venue stands for an exchange; a restore in place leaves its state as it is."""
    text = installation.settings.targets_file.read_text()
    service = "kind: venue, service: {manager: supervisor, unit: venue}"
    installation.settings.targets_file.write_text(text.replace("kind: venue", service))
    venue = installation.settings.var / "venue"
    venue.mkdir()
    (venue / "venue.db").write_text("of the exchange")
    installation.back_up()
    (manifest,) = installation.manifests()
    assert not [entry.path for entry in manifest.entries if "venue" in entry.path]
    restore_in_place(installation.settings, installation.repository, manifest, owner="ann")
    assert (venue / "venue.db").read_text() == "of the exchange"


def test_restores_refuse_what_they_would_overwrite(
    installation: Installation, tmp_path: Path
) -> None:
    """By default nothing is replaced."""
    installation.back_up()
    (manifest,) = installation.manifests()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(SetupError, match="not an empty folder"):
        restore_into(installation.repository, manifest, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file"]


def test_space_is_asked_for_first(tmp_path: Path) -> None:
    """A restore that stops half way on a full disk helps no one."""
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(SetupError, match="free"):
        disk.require_space(tmp_path / "not/yet/there", 2 * free, "the restore")
    disk.require_space(tmp_path / "not/yet/there", 1, "the restore")


def test_a_restore_chooses_by_id_and_by_time(installation: Installation) -> None:
    """The beginning of an id will do; a time takes the last backup before it."""
    first = installation.back_up()
    between = clock.now()
    installation.write_events(2)
    second = installation.back_up()
    manifests = installation.manifests()
    assert choose(manifests).id == second.id
    assert choose(manifests, first.id).id == first.id
    assert choose(manifests, to=between).id == first.id
    assert choose(manifests, to=clock.now()).id == second.id
    with pytest.raises(SetupError, match="oldest"):
        choose(manifests, to=first.created_at.replace(year=2020))
    with pytest.raises(SetupError, match="no backup"):
        choose(manifests, "2019")
    with pytest.raises(SetupError, match="several"):
        choose(manifests, "20")
    with pytest.raises(SetupError, match="backup create"):
        choose([])


def test_one_content_is_stored_once(installation: Installation) -> None:
    """What has not changed costs nothing."""
    installation.back_up()
    objects = installation.root / "backups/objects"
    before = {path.name for path in objects.glob("*/*")}
    (installation.bot / "new.json").write_text("{}")
    installation.back_up()
    assert len({path.name for path in objects.glob("*/*")} - before) == 1


def test_a_bad_content_is_replaced_by_the_next_backup(installation: Installation) -> None:
    """A new backup does not rest on a content that has gone bad; older ones are repaired too."""
    installation.back_up()
    (manifest,) = installation.manifests()
    entry = next(entry for entry in manifest.entries if entry.path == "config/targets.yml")
    stored = installation.root / "backups/objects" / entry.sha256[:2] / entry.sha256
    stored.write_bytes(b"#" + stored.read_bytes()[1:])
    with pytest.raises(Damaged, match=r"targets\.yml"):
        installation.restore_test(manifest)
    installation.back_up()
    for manifest in installation.manifests():
        assert installation.restore_test(manifest).problem == ""


def test_pruning_keeps_what_can_be_restored(installation: Installation) -> None:
    """The newest backup that passed a restore test stays, with all that are newer."""
    ids = [installation.back_up().id for _ in range(4)]
    strict = replace(
        installation.settings,
        backup_keep_last=1,
        backup_keep_hourly=0,
        backup_keep_daily=0,
        backup_keep_weekly=0,
        backup_keep_monthly=0,
    )
    assert prune.prune(strict, installation.repository) == []
    installation.restore_test(installation.manifests()[2])
    ordered = [manifest.id for manifest in installation.manifests()]
    assert ids == ordered
    assert prune.prune(strict, installation.repository, dry_run=True) == ordered[:2]
    assert len(installation.manifests()) == 4
    assert prune.prune(strict, installation.repository) == ordered[:2]
    assert [manifest.id for manifest in installation.manifests()] == ordered[2:]
    for manifest in installation.manifests():
        assert installation.restore_test(manifest).problem == ""
    assert set(BackupRecords(installation.settings.backup_records).all()) == set(ordered[2:])


def test_the_record_of_a_backup_that_cannot_be_read_is_kept(installation: Installation) -> None:
    """It may be readable again later; its restore test and its problem are still known then."""
    installation.back_up()
    (manifest,) = installation.manifests()
    installation.restore_test(manifest)
    path = installation.root / "backups" / "manifests" / manifest.id
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"?")
    prune.prune(installation.settings, installation.repository)
    records = BackupRecords(installation.settings.backup_records)
    assert records.all()[manifest.id].restore_tested_at is not None
    path.unlink()
    prune.prune(installation.settings, installation.repository)
    assert not records.all()


def test_nothing_is_collected_beside_a_manifest_that_cannot_be_read(
    installation: Installation,
) -> None:
    """What it names is not known, and may be all that is left of it."""
    installation.back_up()
    installation.write_events(1)
    installation.back_up()
    first, second = installation.manifests()
    folder = installation.root / "backups"
    path = folder / "manifests" / first.id
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    before = set(folder.glob("objects/*/*"))
    installation.repository.remove([second.id])
    assert set(folder.glob("objects/*/*")) == before
    listing = installation.repository.listing()
    assert not listing.manifests
    assert [line.startswith(first.id) for line in listing.damaged] == [True]


def test_a_manifest_cannot_lead_out_of_its_folder(installation: Installation) -> None:
    """Who can write to the repository must not write elsewhere by our restore."""
    installation.back_up()
    (manifest,) = installation.manifests()
    for path in ("../x", "/etc/x", "a/../../x", "a//b", "a\0b"):
        entries = (replace(manifest.entries[0], path=path), *manifest.entries[1:])
        with pytest.raises(Damaged, match="outside"):
            decode(encode(replace(manifest, entries=entries)))


def test_a_link_is_not_followed(installation: Installation, tmp_path: Path) -> None:
    """A link in `var` must not bring another's files into the repository."""
    (tmp_path / "private").write_text("private")
    (installation.bot / "link").symlink_to(tmp_path / "private")
    (installation.bot / "folder").symlink_to(tmp_path)
    os.mkfifo(installation.bot / "pipe")
    installation.back_up()
    (manifest,) = installation.manifests()
    assert not [
        entry.path for entry in manifest.entries if entry.path.endswith(("link", "private"))
    ]


def test_restic_says_what_is_missing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without restic, and without its password."""
    installation = Installation(root, repository=f"restic:{tmp_path / 'repository'}")
    if shutil.which("restic"):
        with pytest.raises(SetupError, match="backup_password"):
            open_repository(installation.settings)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="apt-get install restic"):
        open_repository(installation.settings)


def test_another_command_is_waited_for_by_the_operator(installation: Installation) -> None:
    """Two would use one scratch folder; the second says so and notes no failure."""
    lock = installation.settings.backup_work / "lock"
    with disk.locked(lock, "busy"), pytest.raises(StoreError, match="another backup command"):
        installation.back_up()
    assert BackupRecords(installation.settings.backup_records).runs() == {}
