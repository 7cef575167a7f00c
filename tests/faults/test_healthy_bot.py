"""A healthy bot is neither halted nor stopped nor restarted for troubles that are not its own."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.disks import needs_disks, own_disk, stall
from tests.stack import Stack, running_stack
from tests.unprivileged import flood, needs_root
from tests.waiting import eventually
from trading_ops.config.targets import split_address
from trading_ops.errors import TradingOpsError
from trading_ops.store import events
from trading_ops.store.engine import reading_engine
from trading_ops.store.events import TimelineEvent
from trading_ops_lab.drills.lab_clients import Scene

STALL_SECONDS = 10
FREEZE_SECONDS = 60
FLOOD_SECONDS = 20

AFTERWARDS_SECONDS = 10
"""In which what the trouble has led to would be done: a halt is asked for after 3 s of silence, a
process is stopped after 6 s."""

HARM = frozenset({"agent_unresponsive", "agent_stopped", "hold_placed", "started"})
"""Events of a halt, a stop, and an attempt."""

pytestmark = [needs_root, needs_disks, pytest.mark.faults]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack with a disk of its own, one for the three tests."""
    folder = tmp_path_factory.mktemp("stack")
    with own_disk(folder / "var", 1024), running_stack(folder) as stack:
        yield stack


@dataclass
class StoredEvents:
    """What the database has."""

    stack: Stack

    def __call__(self, since: int = 0) -> list[TimelineEvent]:
        engine = reading_engine(self.stack.settings.database_url)
        try:
            with engine.connect() as connection:
                return events.since(connection, since, limit=100_000)
        finally:
            engine.dispose()


async def health(scene: Scene) -> Any:
    """Return what the bot's agent says, or None."""
    try:
        return await scene.directory.bot(scene.bot("alpha")).health()
    except TradingOpsError:
        return None


async def is_heard(scene: Scene) -> bool:
    """Whether the reconciler is there and its watch hears the bot."""
    try:
        await scene.reconciler.status()
    except TradingOpsError:
        return False
    return await health(scene) is not None


@asynccontextmanager
async def unharmed(stack: Stack, scene: Scene) -> AsyncIterator[None]:
    """Whatever happens inside: the same process goes on, active, and nothing was done to it."""
    stored_events = StoredEvents(stack)
    await eventually(lambda: is_heard(scene), within=60)
    before = stack.processes()["bot-alpha"]
    seen = max((event.seq for event in stored_events()), default=0)
    yield
    await eventually(lambda: is_heard(scene), within=60)
    await asyncio.sleep(AFTERWARDS_SECONDS)
    done = [(event.kind, event.note) for event in stored_events(since=seen) if event.kind in HARM]
    assert done == []
    after = stack.processes()["bot-alpha"]
    assert (after["incarnation"], after["restarts"]) == (before["incarnation"], before["restarts"])
    now = await eventually(lambda: health(scene))
    assert (now.state, now.holds) == ("active", [])


async def test_a_stalled_disk(stack: Stack, scene: Scene) -> None:
    """Every write of every process waits for ten seconds, those of the bot's agent too."""
    async with unharmed(stack, scene):
        stalled = stall(stack.settings.var, STALL_SECONDS)
        assert await asyncio.to_thread(stalled.wait) == 0


async def test_a_frozen_reconciler(stack: Stack, scene: Scene) -> None:
    """It comes back after a minute in which it heard of no bot: that was its own fault."""
    async with unharmed(stack, scene):
        pid = stack.processes()["reconciler"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(FREEZE_SECONDS)
        finally:
            os.kill(pid, signal.SIGCONT)


async def test_a_flooded_agent(stack: Stack, scene: Scene) -> None:
    """A user without any right opens connections to it as fast as the machine allows."""
    _, port = split_address(scene.bot("alpha").address)
    async with unharmed(stack, scene):
        rate = await flood(port, seconds=FLOOD_SECONDS)
    sys.stdout.write(f"{rate:.0f} connections a second for {FLOOD_SECONDS} s\n")
