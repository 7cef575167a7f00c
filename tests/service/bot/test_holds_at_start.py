"""A real bot whose own file of holds is lost sends no order before the hold is back."""

import inspect
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.builders import FixedSecrets, make_registry
from tests.service.bot.conftest import Control, Venue
from tests.service.botkit.conftest import until
from tests.waiting import eventually
from trading_ops.clients.directory import Directory
from trading_ops.domain.target import Registry
from trading_ops.holds.holds import HoldManager
from trading_ops.store import migrate
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.journal import Journal
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

pytestmark = pytest.mark.processes

Spawn = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def registry(config_file: Path, tmp_path: Path) -> Registry:
    """The bot in the registry; only a confirmation opens its gate within this test."""
    config = json.loads(config_file.read_text())
    config_file.write_text(json.dumps(config | {"holds_wait_seconds": 3600}))
    return make_registry(alpha=config["agent_address"])


@pytest.fixture
async def holding(
    registry: Registry, tmp_path: Path, http: aiohttp.ClientSession
) -> AsyncIterator[HoldManager]:
    url = f"sqlite:///{tmp_path / 'reconciler.db'}"
    migrate.upgrade(url)
    token = (tmp_path / "secrets" / "agent_token").read_text()
    writer, reader = Writer(writing_engine(url)), Reader(reading_engine(url))
    writer.start()
    holding = HoldManager(
        writer=writer,
        reader=reader,
        directory=Directory(http, registry, FixedSecrets(token)),
        registry=registry,
        journal=Journal(tmp_path / "journal"),
    )
    yield holding
    holding.close()
    reader.close()
    writer.stop()


async def test_no_order_leaves_before_the_hold_is_back(
    venue: Venue,
    registry: Registry,
    holding: HoldManager,
    spawn: Spawn,
    control: Control,
    tmp_path: Path,
) -> None:
    """Halted, killed, its file of holds deleted, started again: zero orders at the venue."""
    target = registry.find("alpha")
    assert target is not None

    async def enforce_until(done: Callable[[], object]) -> None:
        async def look() -> object:
            await holding.enforce()
            answer = done()
            return await answer if inspect.isawaitable(answer) else answer

        await eventually(look, within=40)

    async def refused(code: str) -> bool:
        wanted = f'trading_order_denials_total{{code="{code}"}}'
        lines = (await control.get("/metrics")).splitlines()
        return any(line.startswith(wanted) and float(line.split()[1]) > 0 for line in lines)

    process = spawn()
    await enforce_until(lambda: venue.journal("order_added"))
    placed = await holding.place(target, "halted", owner="ada", reason="odd fills")
    assert placed.acknowledged
    process.kill()
    process.wait()
    seq = venue.last_seq()
    (tmp_path / "bot" / "holds.json").unlink()

    spawn()
    await until(lambda: venue.journal("dead_man_armed", after=seq), within=40)
    await eventually(lambda: refused("awaiting_holds"), within=40)
    assert (await control.get("/health"))["holds"] == []
    await enforce_until(lambda: refused("trading_halted"))
    assert venue.journal("order_added", after=seq) == []

    await holding.release(target, ids=None, owner="ada", reason="the fills are right")
    await enforce_until(lambda: venue.journal("order_added", after=seq))
