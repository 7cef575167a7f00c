"""Observe mode: the bot starts on a copy of its state while it trades, and sends nothing."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.service.bot.conftest import Venue
from tests.service.botkit.conftest import until

pytestmark = pytest.mark.slow

Spawn = Callable[[], subprocess.Popen[bytes]]


async def observe(config_file: Path, folder: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trading_ops_lab.paper.bot"),
        *("--config", config_file, "--observe", folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def copy(source: Path, into: Path) -> None:
    """Copy what a backup has of a bot."""
    into.mkdir(parents=True)
    with (
        closing(sqlite3.connect(source / "bot.db")) as records,
        closing(sqlite3.connect(into / "bot.db")) as target,
    ):
        records.backup(target)
    holds = source / "holds.json"
    if holds.exists():
        (into / "holds.json").write_bytes(holds.read_bytes())


async def test_it_starts_beside_the_bot_that_trades(
    venue: Venue, spawn: Spawn, config_file: Path, tmp_path: Path
) -> None:
    """The other one trades on, and its nonces are not refused."""
    process = spawn()
    await until(lambda: venue.journal("order_filled"), within=30)
    copy(tmp_path / "bot", tmp_path / "restored/bot")
    code, output = await observe(config_file, tmp_path / "restored/bot")
    assert (code, "mode live" in output, "prices received" in output) == (0, True, True), output
    last = venue.last_seq()
    await until(lambda: venue.journal("order_added", after=last), within=30)
    assert process.poll() is None
    assert "EAPI:Invalid nonce" not in (tmp_path / "bot.log").read_text()


async def test_its_holds_are_in_force(
    venue: Venue, spawn: Spawn, config_file: Path, tmp_path: Path
) -> None:
    spawn()
    await until(lambda: venue.journal("order_added"), within=30)
    copy(tmp_path / "bot", tmp_path / "restored/bot")
    hold = {"id": "x", "state": "HALTED", "owner": "ann", "reason": "test", "at": 1.0}
    (tmp_path / "restored/bot/holds.json").write_text(json.dumps({"holds": [hold], "released": []}))
    code, output = await observe(config_file, tmp_path / "restored/bot")
    assert (code, output.splitlines()[-1].startswith("halted")) == (0, True), output


async def test_records_that_it_cannot_read_end_it(config_file: Path, tmp_path: Path) -> None:
    (tmp_path / "restored/bot").mkdir(parents=True)
    code, output = await observe(config_file, tmp_path / "restored/bot")
    assert (code, "has no records" in output) == (1, True)
    (tmp_path / "restored/bot/bot.db").write_bytes(b"no database" * 1000)
    code, output = await observe(config_file, tmp_path / "restored/bot")
    assert (code, "bot.db" in output, "Traceback" in output) == (1, True, False)
