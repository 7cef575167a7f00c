"""A bot in a process of its own keeps its log and its disk on command; the exporter is witness."""

import gzip
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service.bot.conftest import Control
from tests.service.botkit.conftest import until
from tests.unit.logs.reading import lines_of
from trading_ops.exporter.config import LogFilesEntry
from trading_ops.exporter.log_files.follower import LogFollower
from trading_ops.logs.rotation import files_aside

pytestmark = pytest.mark.processes

OLD = "bot-alpha.log.20260101T000000.000000"


@pytest.fixture
def log(config_file: Path, tmp_path: Path) -> Path:
    """The bot keeps a file."""
    config = json.loads(config_file.read_text())
    config["log_dir"] = str(tmp_path / "log")
    config_file.write_text(json.dumps(config))
    return tmp_path / "log" / "bot-alpha.log"


async def test_the_log_is_rotated_and_its_disk_freed(
    spawn: Callable[[], subprocess.Popen[bytes]],
    control: Control,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each answer says what was done; rotations are counted, old files go, and no line is lost."""
    monkeypatch.setenv("TRADING_OPS_LOG_FOLDER_MEGABYTES", "2")
    log.parent.mkdir()
    old = log.parent / f"{OLD}.gz"
    old.write_bytes(gzip.compress(os.urandom(1024 * 1024)))
    backup = log.parent / "bot.db.20260101.backup"
    backup.write_bytes(os.urandom(1024))
    bot = spawn()
    await until(lambda: log.exists() and "bot_started" in log.read_text(), within=60)
    seen = LogFollower(LogFilesEntry(name="alpha", paths=(log,)))
    seen.read()
    for number in (1, 2):
        reply = await control.command("rotate_logs")
        assert reply["outcome"] == "succeeded", reply
        assert f"; {number - 1} earlier files were compressed" in reply["detail"]
        assert files_aside(log.parent)[-1].name in reply["detail"]
        assert seen.read().totals.rotations == number
        await until(lambda: log.stat().st_size)  # the bot writes on, in a new file
    freed = await control.command("free_disk")
    assert freed["outcome"] == "succeeded", freed
    assert int(freed["detail"].split()[0]) > 1024 * 1024
    assert not old.exists()
    assert backup.exists()
    again = await control.command("free_disk")
    assert again["outcome"] == "failed", again
    assert "no old log files to remove" in again["detail"]
    bot.terminate()
    assert bot.wait(60) == 0
    events = [json.loads(line)["event"] for line in lines_of(log)]
    assert events.count("bot_started") == 1
    assert events[-1] == "bot_stopped"


@pytest.mark.usefixtures("bot")
async def test_a_bot_without_a_log_file_says_so(control: Control) -> None:
    """It logs to standard error only."""
    for name in ("rotate_logs", "free_disk"):
        reply = await control.command(name)
        assert reply["outcome"] == "failed"
        assert "TRADING_OPS_LOG_DIR" in reply["detail"]
