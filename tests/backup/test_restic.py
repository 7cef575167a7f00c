"""The same with restic: encrypted, with the secrets, verified by what it returns."""

import shutil
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.backup.installation import Installation
from trading_ops.backup import prune
from trading_ops.backup.manifest import Damaged
from trading_ops.backup.restore import restore_into

pytestmark = [
    pytest.mark.skipif(shutil.which("restic") is None, reason="restic is not installed"),
    pytest.mark.long,
]


@pytest.fixture
def installation(root: Path, tmp_path: Path) -> Installation:
    """An installation with a restic repository."""
    made = Installation(root, repository=f"restic:{tmp_path / 'repository'}")
    made.settings.backup_password.write_text("correct horse\n")
    return made


def test_a_backup_comes_back_with_its_secrets(installation: Installation, tmp_path: Path) -> None:
    """Restored, opened, and what is stored cannot be read without the password."""
    record = installation.back_up()
    (manifest,) = installation.manifests()
    assert (manifest.id, manifest.secrets) == (record.id, True)
    assert installation.restore_test(manifest).problem == ""
    restore_into(installation.repository, manifest, tmp_path / "new")
    key = tmp_path / "new/var/secrets/audit_key"
    assert key.read_bytes() == (installation.settings.secrets / "audit_key").read_bytes()
    assert (tmp_path / "new/var/tls/ca.key").is_file()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("repository/data/*/*"))
    assert key.read_bytes().strip() not in stored


def test_pruning_removes_snapshots_and_keeps_what_is_restorable(
    installation: Installation,
) -> None:
    """Another program's snapshots in the repository are left alone by their tag."""
    for _ in range(3):
        installation.back_up()
    ordered = [manifest.id for manifest in installation.manifests()]
    installation.restore_test(installation.manifests()[1])
    strict = replace(
        installation.settings,
        backup_keep_last=1,
        backup_keep_hourly=0,
        backup_keep_daily=0,
        backup_keep_weekly=0,
        backup_keep_monthly=0,
    )
    assert prune.prune(strict, installation.repository) == ordered[:1]
    assert [manifest.id for manifest in installation.manifests()] == ordered[1:]
    for manifest in installation.manifests():
        assert installation.restore_test(manifest).problem == ""


def test_a_flipped_byte_in_a_pack_is_found(installation: Installation, tmp_path: Path) -> None:
    """By reading the backup back, whatever exit code restic would have."""
    installation.back_up()
    (manifest,) = installation.manifests()
    packs = sorted(tmp_path.glob("repository/data/*/*"), key=lambda path: path.stat().st_size)
    data = bytearray(packs[-1].read_bytes())
    data[len(data) // 3] ^= 1
    packs[-1].chmod(0o600)
    packs[-1].write_bytes(data)
    with pytest.raises(Damaged):
        installation.restore_test(manifest)
