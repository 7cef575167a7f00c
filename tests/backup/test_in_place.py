"""A restore in place: nothing old can be replayed, and nothing runs meanwhile."""

import fcntl
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.backup.installation import BLOCK, CEILING, KEY, Installation
from trading_ops import clock
from trading_ops.agent.state import Holds, TradingState
from trading_ops.backup.in_place import Restored, restore_in_place
from trading_ops.botkit.nonces.ceiling import CeilingFile
from trading_ops.cli.main import run
from trading_ops.errors import SetupError, StoreError

pytestmark = pytest.mark.processes


def restore(installation: Installation) -> Restored:
    """Restore the latest backup in place."""
    return restore_in_place(
        installation.settings, installation.repository, installation.manifests()[-1], owner="ann"
    )


def lose(installation: Installation) -> None:
    """Lose everything but the secrets, of which a copy is kept elsewhere."""
    kept = installation.root / "kept"
    shutil.copytree(installation.settings.secrets, kept)
    shutil.rmtree(installation.settings.var)
    shutil.copytree(kept, installation.settings.secrets)


def fences(installation: Installation) -> dict[str, int]:
    """Return the fences of the store."""
    path = installation.settings.var / "reconciler/reconciler.db"
    with sqlite3.connect(path) as connection:
        return dict(connection.execute("SELECT target, fence FROM fences"))


@pytest.fixture(autouse=True)
def _in_the_project(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(installation.root)


def test_after_var_was_lost_the_audit_log_is_whole(installation: Installation) -> None:
    """`audit verify` as the operator runs it: restored, with the events of the restore added."""
    installation.settings.anchors.unlink()  # it is a minute younger than the store
    installation.back_up()
    lose(installation)
    restore(installation)
    assert run(["audit", "verify"]) == 0


def test_what_was_used_since_the_backup_is_not_used_again(installation: Installation) -> None:
    """Fences of the store and of the executor, and nonces, are above all that came after it."""
    installation.back_up()
    began = clock.timestamp()
    for _ in range(50):
        installation.write_events(1)
    later = fences(installation)["alpha"]
    ceiling = CeilingFile(installation.ceiling_path, block=BLOCK)
    ceiling.raise_to(CEILING + 20_000_000)
    ceiling.close()
    restored = restore(installation)
    assert restored.before is not None
    assert restored.before.is_dir()
    seen = json.loads((installation.bot / "fence.json").read_text())["fences"]["alpha"]
    assert seen > later
    assert fences(installation)["alpha"] >= seen
    ceiling = CeilingFile(installation.ceiling_path, block=BLOCK)
    assert ceiling.read() > max(CEILING + 20_000_000, began * 1e6)
    ceiling.close()


def test_every_bot_starts_reduced_and_the_store_knows_why(installation: Installation) -> None:
    """By the agent's own file, before a reconciler runs; with one id, so it is released once."""
    record = installation.back_up()
    restore(installation)
    holds = Holds(installation.bot / "holds.json")
    assert holds.state is TradingState.REDUCING
    (hold,) = holds.holds
    with sqlite3.connect(installation.settings.var / "reconciler/reconciler.db") as connection:
        stored = connection.execute("SELECT id, target, state, owner FROM holds").fetchall()
        kinds = {row[0] for row in connection.execute("SELECT kind FROM events")}
    assert stored == [(hold.id, "alpha", "reducing", "ann")]
    assert hold.id == f"restore-{record.id}-alpha"
    assert {"fences_raised", "hold_placed"} <= kinds


@pytest.mark.parametrize("lock", ["bot-alpha/lock", "reconciler/reconciler.lock"])
def test_it_refuses_while_a_process_runs(installation: Installation, lock: str) -> None:
    """The lock of a bot, of the reconciler; nothing is changed."""
    installation.back_up()
    before = sorted(installation.settings.var.rglob("*"))
    with (installation.settings.var / lock).open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match=r"lock\. Fix: stop it"):
            restore(installation)
    assert sorted(installation.settings.var.rglob("*")) == before
    restore(installation)


def test_secrets_and_configuration_of_today_stand(installation: Installation) -> None:
    """A replaced token or certificate stays so; a lost file comes back, a changed one stays."""
    installation.back_up()
    (installation.settings.tls / "reconciler.crt").write_text("renewed\n")
    (installation.settings.tls / "reconciler.key").write_text("renewed\n")
    (installation.settings.secrets / "agent_token").write_text("new\n")
    (installation.root / "settings.yml").write_text("log_kept_days: 7\n")
    (installation.root / "runbooks/A.md").unlink()
    assert restore(installation).differing == ["settings.yml"]
    assert (installation.settings.secrets / "agent_token").read_text() == "new\n"
    for name in ("reconciler.crt", "reconciler.key"):
        assert (installation.settings.tls / name).read_text() == "renewed\n"
    assert (installation.root / "settings.yml").read_text() == "log_kept_days: 7\n"
    assert (installation.root / "runbooks/A.md").is_file()
    assert (installation.settings.var / "log/bot-alpha.log").is_file()


def test_without_the_audit_key_it_says_what_is_needed(installation: Installation) -> None:
    """A plain folder has no secrets: they are kept elsewhere."""
    installation.back_up()
    shutil.rmtree(installation.settings.var)
    with pytest.raises(SetupError, match="audit_key is missing"):
        restore(installation)
    assert not installation.settings.var.exists()
    installation.settings.secrets.mkdir(parents=True)
    (installation.settings.secrets / "audit_key").write_bytes(KEY)
    (installation.settings.secrets / "audit_key").chmod(0o600)
    restore(installation)


def test_one_that_was_killed_between_its_renames_is_run_again(installation: Installation) -> None:
    """`var` is gone then, and the secrets are in the folder that it moved away."""
    installation.back_up()
    var = installation.settings.var
    var.rename(var.with_name("var.before-restore-20260301T120000Z"))
    restore(installation)
    assert (installation.settings.secrets / "audit_key").read_bytes().strip() == KEY
    assert run(["audit", "verify"]) == 0


def test_postgresql_is_not_restored_in_place(installation: Installation) -> None:
    """The server is not ours to replace."""
    installation.back_up()
    settings = replace(installation.settings, database="postgresql://ops@db/ops")
    with pytest.raises(SetupError, match="PostgreSQL"):
        restore_in_place(
            settings, installation.repository, installation.manifests()[-1], owner="ann"
        )


def test_the_commands(installation: Installation, capfd: pytest.CaptureFixture[str]) -> None:
    """As an operator types them."""
    assert run(["backup", "create", "--output", "json"]) == 0
    (manifest,) = installation.manifests()
    assert json.loads(capfd.readouterr().out)["id"] == manifest.id
    assert run(["backup", "verify", "--restore-test"]) == 0
    assert "intact" in capfd.readouterr().out
    assert run(["backup", "list", "--output", "json"]) == 0
    (listed,) = json.loads(capfd.readouterr().out)["backups"]
    assert listed["restore_tested_at"] is not None
    assert run(["backup", "list"]) == 0
    assert run(["backup", "prune", "--dry-run"]) == 0
    assert "nothing to remove" in capfd.readouterr().out
    assert run(["restore", "--dry-run", "--into", "new"]) == 0
    assert not Path("new").exists()
    assert run(["restore", manifest.id[:8], "--into", "new"]) == 0
    assert (Path("new") / "var/reconciler/reconciler.db").is_file()
    assert run(["restore", "--to", "2020-01-01T00:00:00Z"]) == 4
    assert run(["restore", "--to", "2020-01-01"]) == 2
    capfd.readouterr()
    assert run(["restore", "--in-place", "--output", "json"]) == 0
    assert json.loads(capfd.readouterr().out)["id"] == manifest.id
    assert run(["audit", "verify"]) == 0


def test_a_damaged_backup_is_an_exit_code(installation: Installation) -> None:
    """For timers and scripts."""
    installation.back_up()
    (stored,) = installation.root.glob("backups/manifests/*")
    stored.write_bytes(stored.read_bytes().replace(b"config/", b"konfig/", 1))
    assert run(["backup", "list"]) == 1
    assert run(["backup", "verify", "--all"]) == 1
