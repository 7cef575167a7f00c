"""The bot as a process: how it ends, how it dies, and how it continues."""

import asyncio
import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.service.bot.conftest import Control, Venue
from tests.service.botkit.conftest import until
from trading_ops import clock
from trading_ops.botkit.nonces.ceiling import CeilingFile
from trading_ops.botkit.nonces.source import BLOCK
from trading_ops.errors import SetupError
from trading_ops_lab.paper.bot.__main__ import main, serve
from trading_ops_lab.paper.bot.bot import Bot
from trading_ops_lab.paper.bot.config import BotConfig

pytestmark = pytest.mark.processes

Spawn = Callable[[], subprocess.Popen[bytes]]


def ceiling(folder: Path) -> int:
    (path,) = (folder / "nonces").glob("*/ceiling")
    return CeilingFile(path, block=BLOCK).read()


@pytest.fixture
def bot_lock(config: BotConfig) -> Iterator[Path]:
    config.state_dir.mkdir()
    path = config.state_dir / "lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield path


async def ended(process: subprocess.Popen[bytes], *, within: float) -> int:
    await until(lambda: process.poll() is not None, within=within)
    return process.wait()


async def open_order(venue: Venue) -> None:
    await until(venue.open_orders, within=40)


async def test_sigterm_leaves_nothing_open(
    venue: Venue, spawn: Spawn, control: Control, tmp_path: Path
) -> None:
    """SIGTERM ends it with 0 within ten seconds, its orders cancelled and the switch off."""
    process = spawn()
    await open_order(venue)
    assert psutil.Process(process.pid).memory_info().rss < 200e6
    process.send_signal(signal.SIGTERM)
    assert await ended(process, within=10) == 0
    assert venue.unattended() == set()
    assert venue.journal("dead_man_disarmed")
    assert "bot_stopped" in (tmp_path / "bot.log").read_text()


async def test_sigterm_while_the_venue_hangs(venue: Venue, spawn: Spawn) -> None:
    """A venue that does not answer cannot keep the bot from ending in time."""
    process = spawn()
    await open_order(venue)
    await venue.break_("hang")
    process.send_signal(signal.SIGTERM)
    assert await ended(process, within=10) == 0


async def test_killed_bot_is_covered_and_goes_on(
    venue: Venue, spawn: Spawn, tmp_path: Path
) -> None:
    """After kill -9 the venue cancels its orders; the next process trades with higher nonces."""
    process = spawn()
    await open_order(venue)
    process.kill()
    process.wait()
    armed, added = venue.journal("dead_man_armed")[0], venue.journal("order_added")[0]
    assert armed["seq"] < added["seq"]  # a bot may die right after its first order
    before = ceiling(tmp_path)
    await until(lambda: venue.journal("dead_man_fired"), within=10)
    assert venue.open_orders() == set()
    seq = venue.last_seq()
    process = spawn()
    await until(lambda: venue.journal("order_added", after=seq), within=40)
    assert venue.journal("private_refused") == []
    assert ceiling(tmp_path) > before
    process.send_signal(signal.SIGTERM)
    assert await ended(process, within=10) == 0
    assert venue.unattended() == set()


async def test_leftovers_are_cancelled_at_once(venue: Venue, spawn: Spawn) -> None:
    """A quick restart after kill -9 finds its orders at the venue and cancels them first."""
    process = spawn()
    await open_order(venue)
    process.kill()
    process.wait()
    left = venue.open_orders()
    seq = venue.last_seq()
    spawn()
    await until(lambda: not left & venue.open_orders(), within=10)
    reasons = {
        entry["reason"]
        for entry in venue.journal("order_cancelled", after=seq)
        if entry["order"] in left
    }
    assert reasons <= {"client", "dead_man"}


async def test_halt_outlives_the_process(venue: Venue, spawn: Spawn, control: Control) -> None:
    """A bot that was halted and killed comes back halted."""
    process = spawn()
    await until(lambda: venue.journal("dead_man_armed"), within=20)
    await control.command("halt", owner="anna", reason="a test")
    process.kill()
    process.wait()
    seq = venue.last_seq()
    spawn()
    await until(lambda: venue.journal("dead_man_armed", after=seq), within=20)
    health = await control.get("/health")
    assert health["state"] == "halted"
    assert health["holds"][0]["owner"] == "anna"


async def test_second_bot_in_the_same_folder_is_refused(
    bot: Bot, spawn: Spawn, tmp_path: Path
) -> None:
    """Two processes with one key would fight: the second says so in a sentence, and ends with 1."""
    process = spawn()
    assert await ended(process, within=15) == 1
    text = (tmp_path / "bot.log").read_text()
    assert "another bot runs in" in text
    assert "Traceback" not in text


def test_folder_in_use_is_refused(bot_lock: Path, config: BotConfig) -> None:
    """The lock of another process is respected."""
    with pytest.raises(SetupError, match="another bot runs in"):
        Bot(config)


async def test_taken_port_is_a_sentence(config: BotConfig, venue: Venue) -> None:
    """A port that is taken ends the start with the address, and leaves the folder free."""
    wrong = msgspec.structs.replace(config, agent_address=venue.address)
    with pytest.raises(SetupError, match=f"cannot listen on {venue.address}"):
        await Bot(wrong).start()
    bot = Bot(config)
    await bot.start()
    await bot.stop()


async def test_signal_ends_an_ordered_life(config: BotConfig, venue: Venue) -> None:
    """Serving continues until a signal, and then ends without leaving anything open."""
    serving = asyncio.create_task(serve(config))
    await open_order(venue)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, 60)
    assert venue.unattended() == set()


def test_missing_configuration_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A configuration that is not there ends the start with 1 and names the file."""
    assert main(["--config", str(tmp_path / "absent.json")]) == 1
    assert str(tmp_path / "absent.json") in capsys.readouterr().err


async def test_frozen_venue_does_not_freeze_the_bot(
    bot: Bot, venue: Venue, control: Control
) -> None:
    """With the venue's process stopped the agent answers at once and the broker is down."""
    assert venue.process is not None
    venue.process.send_signal(signal.SIGSTOP)
    await until(lambda: not bot.broker.up, within=8)
    began = clock.monotonic()
    assert (await control.get("/health"))["status"] in {"failing", "degraded"}
    assert clock.monotonic() - began < 1
    venue.process.send_signal(signal.SIGCONT)
    await until(lambda: bot.broker.up)
