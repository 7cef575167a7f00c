"""The wall clock of one process steps by an hour: a dead bot is restarted all the same."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from tests.faults.clocks import Clocks, needs_compiler
from tests.stack import Stack, running_stack
from tests.waiting import eventually
from trading_ops.errors import TradingOpsError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.preflight import wait_until_calm

HOUR = 3600.0

WATCHED_SECONDS = 20
"""Time in which a step would lead to a halt, a stop or a restart of a healthy bot."""

pytestmark = [needs_compiler, pytest.mark.faults]


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory) -> Clocks:
    """The clocks of the reconciler, the bot and the exporter."""
    return Clocks(tmp_path_factory.mktemp("clocks"), ("reconciler", "bot-alpha", "exporter"))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, clocks: Clocks) -> Iterator[Stack]:
    """A running stack, one for all tests of this file."""
    with running_stack(tmp_path_factory.mktemp("stack"), environ=clocks.environ) as stack:
        yield stack


async def restarted(stack: Stack, scene: Scene) -> None:
    """Kill the bot, and wait until it has been restarted and trades."""
    before = stack.processes()["bot-alpha"]
    os.kill(before["pid"], signal.SIGKILL)

    async def back() -> bool:
        now = stack.processes()["bot-alpha"]
        if now["incarnation"] == before["incarnation"] or now["state"] != "ready":
            return False
        try:
            return (await scene.directory.bot(scene.bot("alpha")).health()).state == "active"
        except TradingOpsError:
            return False

    await eventually(back, within=40)


async def begin_calm(scene: Scene) -> None:
    """Begin with a healthy bot whose budgets are fresh."""
    bot = scene.bot("alpha")
    await wait_until_calm(scene, bot)
    await scene.reconciler.reset_budget(bot.name, owner="test", reason="a fresh start")


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["ahead", "behind"])
async def test_the_reconcilers_clock_steps(
    stack: Stack, scene: Scene, clocks: Clocks, step: float
) -> None:
    """A restart under the wrong time, and one when it is right again: no cooldown of an hour."""
    await begin_calm(scene)
    clocks.step("reconciler", step)
    try:
        await restarted(stack, scene)
    finally:
        clocks.step("reconciler", 0)
    await scene.reconciler.reset_budget("alpha", owner="test", reason="a fresh start")
    await restarted(stack, scene)


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["ahead", "behind"])
async def test_a_bots_clock_steps(stack: Stack, scene: Scene, clocks: Clocks, step: float) -> None:
    """It is neither halted nor stopped; killed then, it is restarted."""
    await begin_calm(scene)
    before = stack.processes()["bot-alpha"]
    clocks.step("bot-alpha", step)
    try:
        await asyncio.sleep(WATCHED_SECONDS)
        after = stack.processes()["bot-alpha"]
        assert after["incarnation"] == before["incarnation"]
        assert (await scene.directory.bot(scene.bot("alpha")).health()).state == "active"
    finally:
        clocks.step("bot-alpha", 0)
