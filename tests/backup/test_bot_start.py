"""A restore test starts the bots on the restored data, with the commands of targets.yml."""

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.backup.installation import TARGETS, Installation
from trading_ops.backup.bot_start import AT_A_TIME, BotsNotStarted, start_bots
from trading_ops.backup.due import due
from trading_ops.backup.records import BackupRecords, BackupRun
from trading_ops.config.targets import parse_targets
from trading_ops.domain.backup import Operation
from trading_ops.errors import ConfigError
from trading_ops.redaction import known

pytestmark = pytest.mark.processes

HANG = 'echo $$ >"$0"; exec sleep 600'
"""A bot that names its process in a file and never gets up."""


def name_command(installation: Installation, *argv: str) -> None:
    entry = "    venue: paper\n"
    text = TARGETS.replace(entry, f"{entry}    restore_test: {list(argv)}\n", 1)
    (installation.root / "targets.yml").write_text(text)


def test_the_bot_starts_on_the_restored_data(installation: Installation, tmp_path: Path) -> None:
    """Not on the data in use."""
    seen = tmp_path / "seen"
    code = f"import sys; open('{seen}', 'w').write(open(sys.argv[1]).read() + sys.argv[1])"
    name_command(installation, "python", "-c", code, "{var}/bot-alpha/holds.json")
    installation.back_up()
    in_use = installation.bot / "holds.json"
    text = in_use.read_text()
    in_use.write_text("changed since")
    (manifest,) = installation.manifests()
    assert installation.restore_test(manifest).restore_tested_at is not None
    assert seen.read_text().startswith(text)
    assert not seen.read_text().endswith(str(in_use))


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (
            ("python", "-c", "import sys; sys.exit('no such table: orders')", "{var}"),
            "no such table",
        ),
        (("/no/such/program", "{var}"), "No such file"),
    ],
)
def test_a_bot_that_does_not_start_fails_the_restore_test(
    installation: Installation, argv: tuple[str, ...], problem: str
) -> None:
    name_command(installation, *argv)
    installation.back_up()
    (manifest,) = installation.manifests()
    with pytest.raises(BotsNotStarted, match=f"alpha does not start.*{problem}"):
        installation.restore_test(manifest)


def test_a_bot_that_does_not_start_leaves_the_backup_intact(installation: Installation) -> None:
    """The contents passed; the next attempt is an hour later, not five minutes."""
    name_command(installation, "/no/such/program", "{var}")
    installation.back_up()
    (manifest,) = installation.manifests()
    with pytest.raises(BotsNotStarted):
        installation.restore_test(manifest)
    records = BackupRecords(installation.settings.backup_records)
    record = records.get(manifest, installation.repository.location)
    assert record.problem == ""
    assert record.restore_tested_at is not None
    assert record.restore_seconds is not None
    run = records.runs()[Operation.RESTORE_TEST]
    assert not run.succeeded
    done = BackupRun(at=run.at, succeeded=True)
    runs = dict.fromkeys(Operation, done) | {Operation.RESTORE_TEST: run}
    hour, day = timedelta(hours=1), timedelta(days=1)

    def operations(now: datetime) -> list[Operation]:
        return due(runs, interval=2 * day, began=run.at, now=now, checked=run.at)

    assert operations(run.at + hour / 2) == []
    assert operations(run.at + hour) == [Operation.RESTORE_TEST]
    name_command(installation, "python", "-c", "", "{var}")
    installation.restore_test(manifest)
    assert records.runs()[Operation.RESTORE_TEST].succeeded


def test_the_bot_gets_neither_the_live_folder_nor_our_secrets(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENUE_API_SECRET", "s3cr3t")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("TRADING_OPS_ROOT", str(installation.root))
    seen = tmp_path / "seen"
    code = f"import json, os; json.dump(dict(os.environ), open('{seen}', 'w'))"
    name_command(installation, "python", "-c", code, "{var}")
    start_bots(installation.settings, tmp_path / "restored")
    environment = json.loads(seen.read_text())
    assert "VENUE_API_SECRET" not in environment
    assert "TRADING_OPS_ROOT" not in environment
    assert environment["TRADING_OPS_VAR"] == str(tmp_path / "restored" / "var")
    assert environment["PATH"] == "/usr/bin:/bin"


def test_secrets_in_the_output_are_not_shown(installation: Installation, tmp_path: Path) -> None:
    """Not even one whose beginning is no longer among the characters shown."""
    secret = known("k3y" * 20)
    text = f"{secret}{'.' * 280}"
    name_command(installation, "python", "-c", f"import sys; sys.exit('{text}')", "{var}")
    with pytest.raises(BotsNotStarted) as caught:
        start_bots(installation.settings, tmp_path)
    assert "..." in str(caught.value)
    assert "k3y" not in str(caught.value)


def test_the_bots_share_one_deadline(installation: Installation, tmp_path: Path) -> None:
    """One that has to wait for those before it is never started; none is left running."""
    bots = [f"b{number}" for number in range(AT_A_TIME + 1)]
    entries = "".join(
        f"  - {{name: {name}, kind: bot, venue: paper, address: '127.0.0.1:{8500 + number}', "
        f"restore_test: {json.dumps(['/bin/sh', '-c', HANG, str(tmp_path / name), '{var}'])}}}\n"
        for number, name in enumerate(bots)
    )
    (installation.root / "targets.yml").write_text(TARGETS + entries)
    with pytest.raises(BotsNotStarted) as caught:
        start_bots(installation.settings, tmp_path, seconds=2)
    assert all(f"{name} does not start" in str(caught.value) for name in bots)
    assert not (tmp_path / bots[-1]).exists()
    started = [int(path.read_text()) for path in map(tmp_path.joinpath, bots) if path.exists()]
    assert started, "no bot was started"
    assert not [pid for pid in started if Path("/proc", str(pid)).exists()]


def test_a_bot_does_not_outlive_the_restore_test(
    installation: Installation, tmp_path: Path
) -> None:
    """Even if that is killed."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    hang = f"held = open('{fifo}', 'w'); print(1, file=held, flush=True); "
    name_command(installation, "python", "-c", f"{hang}__import__('time').sleep(600)", "{var}")
    code = (
        "import sys; from pathlib import Path; from trading_ops.backup.bot_start import start_bots;"
        "from trading_ops.config.loading import load_settings;"
        "start_bots(load_settings(Path(sys.argv[1])), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(installation.root), str(tmp_path)]
    with subprocess.Popen(command) as parent, fifo.open() as bot:
        assert bot.readline() == "1\n"
        parent.kill()
        assert bot.read() == ""  # the end of the file: the bot is gone


def test_a_relative_program_is_refused() -> None:
    """It would depend on the folder that the command happens to run in."""
    text = TARGETS.replace("    venue: paper\n", "    venue: paper\n    restore_test: [bot]\n", 1)
    with pytest.raises(ConfigError, match="absolute path"):
        parse_targets(text, where="targets.yml")


def test_a_command_without_the_restored_folder_is_refused() -> None:
    """It would start a second bot on live data."""
    entry = "    venue: paper\n"
    text = TARGETS.replace(entry, f"{entry}    restore_test: [/opt/bot, --observe, live]\n", 1)
    with pytest.raises(ConfigError, match=r"restore_test: no argument contains `{var}`"):
        parse_targets(text, where="targets.yml")
