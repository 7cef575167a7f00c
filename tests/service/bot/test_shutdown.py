"""The end of a bot: in order and in time whatever hangs, or at once and safe."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.postgres import Cluster
from tests.service.bot.conftest import Venue
from tests.service.botkit.conftest import until
from trading_ops.botkit.failpoints import BotFailpoint
from trading_ops.botkit.runs import FACT, BotRun
from trading_ops.botkit.shutdown import ShutdownSeconds, ShutdownStep, run_steps
from trading_ops.errors import ConfigError
from trading_ops_lab.paper.bot.bot import Bot
from trading_ops_lab.paper.bot.config import BotConfig, load_config

pytestmark = pytest.mark.long

Spawn = Callable[[], subprocess.Popen[bytes]]
Begin = Callable[[str, str], subprocess.Popen[bytes]]

STEPS = [
    *("passes", "orders", "comparison", "switch", "mark"),
    *("components", "store", "watchers", "agent"),
]
AT_THE_END = (
    BotFailpoint.SHUTDOWN_STARTED,
    BotFailpoint.ORDERS_CANCELLED,
    BotFailpoint.DEADMAN_DISARMED,
    BotFailpoint.RUN_END_STORING,
    BotFailpoint.RUN_END_STORED,
)


def logged(folder: Path, event: str) -> list[dict[str, Any]]:
    lines = (folder / "bot.log").read_text().splitlines()
    entries = [msgspec.json.decode(line) for line in lines if line.startswith("{")]
    return [line for line in entries if line["event"] == event]


def run_in(folder: Path) -> BotRun:
    with closing(sqlite3.connect(folder / "bot" / "bot.db")) as connection:
        row = connection.execute("SELECT value FROM facts WHERE name = ?", (FACT,)).fetchone()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return msgspec.json.decode(row[0], type=BotRun)


async def ended(process: subprocess.Popen[bytes], *, within: float = 10) -> int:
    await until(lambda: process.poll() is not None, within=within)
    return process.wait()


@pytest.fixture
def begin(config_file: Path, tmp_path: Path) -> Iterator[Begin]:
    """Start a bot to which something happens at a place."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(place: str, what: str) -> subprocess.Popen[bytes]:
        with (tmp_path / "bot.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.service.bot.killed_bot", config_file, place, what],
                stderr=log,
            )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


async def test_every_step_follows_whatever_the_one_before_did() -> None:
    """One that fails, one that is late, and one that swallows its cancellation hold up no one."""
    taken: list[str] = []

    async def well() -> None:
        taken.append("well")

    async def fails() -> None:
        raise OSError("no disk")

    async def late() -> None:
        await asyncio.Event().wait()

    async def deaf() -> None:
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                taken.append("deaf")

    short = 0.02
    steps = [
        ShutdownStep(name="fails", seconds=5, run=fails),
        ShutdownStep(name="late", seconds=short, run=late),
        ShutdownStep(name="deaf", seconds=short, run=deaf),
        ShutdownStep(name="extra", seconds=5, run=well, skip_after_failure=True),
        ShutdownStep(name="well", seconds=5, run=well),
    ]
    assert await run_steps(steps) == ("fails", "late", "deaf", "extra")
    assert taken == ["deaf", "well"]


def test_deadlines_fit_the_time_before_a_kill(config_file: Path) -> None:
    """The sum is checked when the file is read, and the defaults pass."""
    assert ShutdownSeconds().total <= 9
    given = msgspec.json.decode(config_file.read_bytes())
    config_file.write_bytes(msgspec.json.encode({**given, "shutdown": {"orders": 8}}))
    with pytest.raises(ConfigError, match="shutdown: its steps take"):
        load_config(config_file)


async def test_steps_are_taken_in_order(venue: Venue, spawn: Spawn, tmp_path: Path) -> None:
    """First no entries, then cancels, a last look, the switch, the mark; the venue saw it so."""
    process = spawn()
    await until(venue.unattended, within=40)
    seq = venue.last_seq()
    process.send_signal(signal.SIGTERM)
    assert await ended(process) == 0
    assert [line["step"] for line in logged(tmp_path, "stop_step_done")] == STEPS
    (off,) = venue.journal("dead_man_disarmed", after=seq)
    cancelled = [order["seq"] for order in venue.journal("order_cancelled", after=seq)]
    added = [order["seq"] for order in venue.journal("order_added", after=seq)]
    assert max([*cancelled, *added, 0]) < off["seq"]
    assert venue.unattended() == set()
    last_run = run_in(tmp_path)
    assert last_run.ended_at is not None
    assert last_run.left_open == 0


async def test_venue_that_hangs(venue: Venue, spawn: Spawn, tmp_path: Path) -> None:
    """The switch stays armed for the orders that were not cancelled, and the end is reported."""
    process = spawn()
    await until(venue.unattended, within=40)
    await venue.break_("hang")
    rests = venue.unattended()
    process.send_signal(signal.SIGTERM)
    assert await ended(process) == 0
    assert venue.journal("dead_man_disarmed") == []
    (stopped,) = logged(tmp_path, "bot_stopped")
    assert stopped["missed"][:3] == ["orders", "comparison", "switch"]
    assert stopped["seconds"] <= ShutdownSeconds().total
    last_run = run_in(tmp_path)
    assert last_run.ended_at is not None
    assert last_run.left_open >= len(rests & venue.unattended())  # one may be filled meanwhile


async def test_records_that_are_locked(venue: Venue, spawn: Spawn, tmp_path: Path) -> None:
    """Someone holds the database: the end comes in time all the same, and counts as a crash."""
    process = spawn()
    await until(venue.unattended, within=40)
    with closing(sqlite3.connect(tmp_path / "bot" / "bot.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        process.send_signal(signal.SIGTERM)
        assert await ended(process, within=11) == 0
    missed = {line["step"] for line in logged(tmp_path, "stop_step_late")}
    assert {"orders", "mark"} <= missed
    assert run_in(tmp_path).ended_at is None


async def test_postgresql_that_is_away(
    venue: Venue, spawn: Spawn, config_file: Path, postgres: Cluster, tmp_path: Path
) -> None:
    """A server that answers nothing any more keeps no one: the switch covers what is open."""
    share_records(config_file, postgres.new_database(migrated=False))
    process = spawn()
    await until(venue.unattended, within=60)
    with postgres.paused():
        process.send_signal(signal.SIGTERM)
        assert await ended(process, within=12) == 0
    missed = {line["step"] for line in logged(tmp_path, "stop_step_late")}
    assert "mark" in missed


def share_records(config_file: Path, url: str) -> None:
    """Have the bot keep its records in a database."""
    file = config_file.with_name("records_url")
    file.write_text(url)
    file.chmod(0o600)
    given = msgspec.json.decode(config_file.read_bytes())
    config_file.write_bytes(msgspec.json.encode({**given, "records": {"url_file": str(file)}}))


async def test_loop_that_hangs_in_its_end(begin: Begin, venue: Venue, tmp_path: Path) -> None:
    """Even a blocked event loop does not keep the process from ending."""
    process = begin(BotFailpoint.ORDERS_CANCELLED, "hang")
    await until(venue.unattended, within=40)
    process.send_signal(signal.SIGTERM)
    assert await ended(process, within=12) == 0
    assert logged(tmp_path, "stop_overdue")


@pytest.mark.parametrize("place", AT_THE_END)
async def test_killed_in_its_end(
    place: BotFailpoint, begin: Begin, venue: Venue, config: BotConfig
) -> None:
    """Wherever the end is cut off, the next life recovers, and agrees with the venue."""
    process = begin(place, "kill")
    await until(venue.unattended, within=40)
    process.send_signal(signal.SIGTERM)
    assert await ended(process) == -signal.SIGKILL
    bot = Bot(config)
    await bot.start()
    try:
        await until(lambda: bot.reconciliation.recovered)
        assert bot.run_record.previous.end == (
            "clean" if place is BotFailpoint.RUN_END_STORED else "crashed"
        )
        assert bot.agent.holds.holds == ()
        there = (await venue.account())["balances"]
        assert str(bot.book.expected["USD"]) == there["ZUSD"]
    finally:
        await bot.stop()


@pytest.mark.parametrize("what", ["interrupt", "terminate"])
@pytest.mark.parametrize(
    "place",
    [
        *(
            BotFailpoint.CHANGE,
            BotFailpoint.COLLECTED,
            BotFailpoint.INTENT,
            BotFailpoint.INTENT_STORED,
            BotFailpoint.SUBMITTED,
        ),
        *(BotFailpoint.ACCEPTED, BotFailpoint.DEADMAN_RENEWING, BotFailpoint.CANCELLING),
    ],
)
async def test_interrupted_twice(
    place: BotFailpoint, what: str, begin: Begin, venue: Venue, tmp_path: Path
) -> None:
    """At any moment: nothing is sent any more, the records are whole, the switch stays armed."""
    process = begin(place, what)
    assert await ended(process, within=60) == 130
    sent = venue.last_seq()
    assert venue.journal("dead_man_disarmed") == []
    assert run_in(tmp_path).ended_at is None
    assert "Traceback" not in (tmp_path / "bot.log").read_text()
    at_once = (*("order_added", "order_cancelled"),)
    late = [entry for event in at_once for entry in venue.journal(event, after=sent)]
    assert all(order.get("reason") == "dead_man" for order in late)
    (interruption,) = logged(tmp_path, "bot_interrupted")
    assert interruption


@pytest.mark.parametrize("place", AT_THE_END)
async def test_interrupted_twice_in_its_end(
    place: BotFailpoint, begin: Begin, venue: Venue, tmp_path: Path
) -> None:
    """Anyone who is impatient during the ordered end gets the immediate one."""
    process = begin(place, "interrupt")
    await until(venue.unattended, within=40)
    process.send_signal(signal.SIGTERM)
    assert await ended(process) == 130
    marked = run_in(tmp_path).ended_at is not None
    # In between, what was given to the records is finished: both are true of such an end.
    assert marked or place is not BotFailpoint.RUN_END_STORED
    assert not (marked and place in {BotFailpoint.SHUTDOWN_STARTED, BotFailpoint.ORDERS_CANCELLED})


async def test_one_interrupt_is_an_ordered_end(venue: Venue, spawn: Spawn, tmp_path: Path) -> None:
    """Ctrl-C once, and SIGTERM as often as a service manager likes, drain."""
    process = spawn()
    await until(venue.unattended, within=40)
    process.send_signal(signal.SIGINT)
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
    assert await ended(process) == 0
    assert run_in(tmp_path).ended_at is not None
    assert venue.unattended() == set()
