"""What only drills ask of a bot: real memory, and no command where drills are not allowed."""

import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from tests.service.bot.conftest import Control
from tests.waiting import eventually
from trading_ops.agent import BadRequest, CommandFailed
from trading_ops.instrument import BotMetrics
from trading_ops_lab.faults.pool_exhausted import CLIENTS, connections
from trading_ops_lab.paper.bot.drills import MOST_MEBIBYTES, drill_commands
from trading_ops_lab.paper.bot.pool_load import FILE

pytestmark = pytest.mark.processes

METRICS = BotMetrics(version="1", mode="paper")

CLUTTERED = """
import asyncio
from trading_ops.agent.relief import relief_commands
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.watchers.memory import read_uss
from trading_ops_lab.paper.bot.drills import MEBIBYTE, Clutter

async def main():
    clutter = Clutter()
    relief = relief_commands(BotMetrics(version="1", mode="paper"))["relieve_memory"]
    sizes = [read_uss()]
    await asyncio.to_thread(clutter.make, 96)
    sizes.append(read_uss())
    big = [bytes(500_000) for _ in range(40)]
    big.clear()
    sizes.append(read_uss())
    await relief.run({})
    sizes.append(read_uss())
    print(*(size // MEBIBYTE for size in sizes))

asyncio.run(main())
"""


def test_the_memory_stays_until_it_is_relieved() -> None:
    """Freed, and still taken, whatever else the process does; then it goes back to the kernel."""
    done = subprocess.run(
        [sys.executable, "-c", CLUTTERED], capture_output=True, text=True, check=True, timeout=60
    )
    begin, cluttered, later, relieved = map(int, done.stdout.split())
    assert cluttered >= begin + 80
    assert later >= begin + 80
    assert relieved <= begin + 16


@pytest.mark.parametrize("given", ["-1", "1.5", "", "many", "٣", str(MOST_MEBIBYTES + 1)])
def test_only_a_bounded_number_is_taken(given: str, tmp_path: Path) -> None:
    """An order that is wrong takes nothing."""
    with pytest.raises(BadRequest, match="whole number of at most 2048"):
        drill_commands(METRICS, tmp_path, allowed=True)["fragment_memory"].check(
            {"mebibytes": given}
        )


async def test_threads_use_cpu_until_they_are_stopped(tmp_path: Path) -> None:
    """Outside of Python's lock: so many CPUs at once, if the machine has them."""
    burn = drill_commands(METRICS, tmp_path, allowed=True)["burn_cpu"]
    before = set(threading.enumerate())
    await burn.run({"threads": "2"})
    burning = set(threading.enumerate()) - before
    assert len(burning) == 2
    await burn.run({"threads": "0"})
    for thread in burning:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in burning)


async def test_a_pool_is_exhausted_until_it_is_larger(tmp_path: Path) -> None:
    """By the kernel's list of open files; then its size and its files are as before."""
    metrics = BotMetrics(version="1", mode="paper")
    commands = drill_commands(metrics, tmp_path, allowed=True)

    async def has(count: int) -> None:
        async def found() -> bool:
            return connections(os.getpid()) == count

        await eventually(found, what=f"{count} connections")

    with pytest.raises(CommandFailed, match="no pool"):
        await commands["scale_pool"].run({"percent": "150", "seconds": "60"})
    await commands["exhaust_pool"].run({"clients": str(CLIENTS)})
    await has(4)
    await commands["scale_pool"].run({"percent": "150", "seconds": "60"})
    await has(5)
    size = partial(metrics.registry.get_sample_value, "trading_database_pool_size")
    assert size({"pool": "drill"}) == 6
    await commands["scale_pool"].run({"percent": "100", "seconds": "0"})
    assert size({"pool": "drill"}) == 4
    await has(4)
    await commands["exhaust_pool"].run({"clients": "0"})
    await has(0)
    assert not (tmp_path / FILE).exists()


@pytest.mark.usefixtures("bot")
async def test_a_bot_knows_no_such_command_unless_its_configuration_says_so(
    control: Control,
) -> None:
    """As every bot but those of the local stack."""
    with pytest.raises(AssertionError, match="unknown_command"):
        await control.command("fragment_memory", mebibytes="1")


def test_nothing_is_offered_where_drills_are_not_allowed(tmp_path: Path) -> None:
    """The default."""
    assert drill_commands(METRICS, tmp_path, allowed=False) == {}
