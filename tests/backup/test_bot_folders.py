"""Records of bots outside of `var`: in the backup, restored, and guarded against replays."""

import contextlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backup.installation import BLOCK, CEILING, Installation
from tests.unprivileged import BECOME_NOBODY, needs_root, run_unprivileged
from trading_ops.agent.durable import write_json
from trading_ops.agent.journal import EventJournal
from trading_ops.agent.state import Holds, TradingState
from trading_ops.backup.in_place import restore_in_place
from trading_ops.backup.records import BackupRecords
from trading_ops.backup.sources import LOCKS
from trading_ops.botkit.nonces.ceiling import CeilingFile
from trading_ops.botkit.nonces.shared import SharedSource
from trading_ops.cli.main import run
from trading_ops.domain.backup import Operation
from trading_ops.errors import StoreError

pytestmark = pytest.mark.processes


@pytest.fixture
def folder(root: Path, tmp_path: Path) -> Path:
    """The state of a production bot, named in settings.yml."""
    made = tmp_path / "srv" / "alpha"
    shutil.copytree(root / "var" / "bot-alpha", made)
    shutil.copytree(root / "var" / "nonces", made / "state" / "nonces")
    (made / "key.key").write_text("private")
    (made / "logs").mkdir()
    (made / "logs" / "a.log").write_text("much")
    (made / "ceiling").write_text("of another program")
    (root / "settings.yml").write_text(f"backup_folders: {{alpha: {made}}}\n")
    return made


def highest(path: Path) -> int:
    ceiling = CeilingFile(path, block=BLOCK)
    try:
        return ceiling.read()
    finally:
        ceiling.close()


def test_the_records_of_a_bot_come_back_guarded(folder: Path, installation: Installation) -> None:
    """Beside `var`: its folder may be in use, and newer."""
    with contextlib.closing(sqlite3.connect(folder / "bot.db")) as bot, bot:
        bot.execute("INSERT INTO orders (created_at) VALUES (2.5)")
    installation.back_up()
    (manifest,) = installation.manifests()
    names = {entry.path for entry in manifest.entries if entry.path.startswith("bots/")}
    assert {"bots/alpha/bot.db", "bots/alpha/fence.json", "bots/alpha/holds.json"} <= names
    assert not {"bots/alpha/key.key", "bots/alpha/logs/a.log", "bots/alpha/lock"} & names
    assert installation.restore_test(manifest).problem == ""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    restored = restore_in_place(
        installation.settings, installation.repository, manifest, owner="ann"
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert restored.bots is not None
    bot_folder = restored.bots / "alpha"
    with contextlib.closing(sqlite3.connect(bot_folder / "bot.db")) as copy:
        assert copy.execute("SELECT max(created_at) FROM orders").fetchone() == (2.5,)
    assert json.loads((bot_folder / "fence.json").read_text())["fences"]["alpha"] > 7
    assert highest(bot_folder / "state/nonces/key/ceiling") > CEILING
    assert (bot_folder / "ceiling").read_text() == "of another program"
    holds = Holds(bot_folder / "holds.json")
    assert holds.state is TradingState.REDUCING
    assert [hold.id for hold in holds.holds] == [f"restore-{manifest.id}-alpha"]


def test_a_folder_that_cannot_be_read_does_not_stop_the_backup(
    folder: Path, installation: Installation
) -> None:
    """Everything else is stored, and the run counts as failed: an alert names it."""
    lost = folder.with_name("lost")
    (installation.root / "settings.yml").write_text(
        f"backup_folders: {{gone: {lost}, alpha: {folder}}}\n"
    )
    again = Installation(installation.root)
    with pytest.raises(StoreError, match=r"gone: .*No such file.*Fix:"):
        again.back_up()
    (manifest,) = again.manifests()
    names = {entry.path for entry in manifest.entries}
    assert {"bots/alpha/bot.db", "var/reconciler/reconciler.db"} <= names
    records = BackupRecords(again.settings.backup_records)
    assert not records.runs()[Operation.CREATE].succeeded
    assert set(records.all()) == {manifest.id}


@pytest.mark.parametrize(("mode", "expected"), [(0o750, True), (0o755, False), (0o700, False)])
def test_a_group_that_may_read_the_folder_may_read_the_state(
    tmp_path: Path, mode: int, *, expected: bool
) -> None:
    """So that the reconciler's user can back it up; by default it is private."""
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(mode)
    write_json(state / "holds.json", {})
    journal = EventJournal(path=state / "events.db")
    journal.open()
    journal.close()
    nonces = SharedSource(state / "key")
    nonces.close()
    paths = [path for path in state.rglob("*") if path.name not in LOCKS]
    assert {path.name for path in paths} >= {"holds.json", "events.db", "key", "ceiling", "count"}
    assert {path.name: bool(path.stat().st_mode & 0o040) for path in paths} == {
        path.name: expected for path in paths
    }
    assert not [path for path in paths if path.stat().st_mode & 0o007]


def test_a_host_without_a_reconciler_backs_up_its_bots(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a settings.yml only: taken, restore-tested, pruned and restored."""
    root = tmp_path / "etc"
    root.mkdir()
    (root / "settings.yml").write_text(f"backup_folders: {{alpha: {folder}}}\n")
    monkeypatch.chdir(root)
    for command in ("create", "verify --restore-test", "prune"):
        assert run(["backup", *command.split()]) == 0
    assert run(["restore", "--into", "new"]) == 0
    assert (root / "new/bots/alpha/bot.db").is_file()


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can read, and only we can write."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@needs_root
@pytest.mark.parametrize("running", [True, False])
async def test_the_database_of_another_user_is_copied(
    public: Path, tmp_path: Path, *, running: bool
) -> None:
    """Running or stopped: SQLite itself refuses a closed database whose WAL it cannot create."""
    source, copied = public / "bot.db", public / "copies"
    copied.mkdir()
    copied.chmod(0o777)
    with contextlib.closing(sqlite3.connect(source)) as bot:
        bot.execute("PRAGMA journal_mode=WAL")
        bot.execute("CREATE TABLE orders (id)")
        bot.execute("INSERT INTO orders VALUES (7)")
        bot.commit()
        if not running:
            bot.close()
        output = await run_unprivileged(
            "from pathlib import Path\nfrom trading_ops.backup import sqlite\n"
            + BECOME_NOBODY
            + "sqlite.copy(Path(sys.argv[1]), Path(sys.argv[2]))\nprint('copied')\n",
            source,
            copied / "bot.db",
        )
    assert output.strip() == "copied"
    with contextlib.closing(sqlite3.connect(copied / "bot.db")) as copy:
        assert copy.execute("SELECT id FROM orders").fetchall() == [(7,)]
