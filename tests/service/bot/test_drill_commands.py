"""What only drills ask of a bot: real memory, and no command where drills are not allowed."""

import subprocess
import sys
import threading

import pytest

from tests.service.bot.conftest import Control
from trading_ops.agent import BadRequest
from trading_ops_lab.paper.bot.drills import MOST_MEBIBYTES, drill_commands

CLUTTERED = """
import asyncio
from trading_ops.agent.relief import relief_commands
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.watchers.memory import read_uss
from trading_ops_lab.paper.bot.drills import MEBIBYTE, drill_commands

async def main():
    clutter = drill_commands(allowed=True)["fragment_memory"]
    relief = relief_commands(BotMetrics(version="1", mode="paper"))["relieve_memory"]
    sizes = [read_uss()]
    await clutter.run({"mebibytes": "96"})
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
def test_only_a_bounded_number_is_taken(given: str) -> None:
    """An order that is wrong takes nothing."""
    with pytest.raises(BadRequest, match="whole number of at most 2048"):
        drill_commands(allowed=True)["fragment_memory"].check({"mebibytes": given})


async def test_threads_use_cpu_until_they_are_told_to_stop() -> None:
    """Outside of Python's lock: so many CPUs at once, if the machine has them."""
    burn = drill_commands(allowed=True)["burn_cpu"]
    before = set(threading.enumerate())
    await burn.run({"threads": "2"})
    burning = set(threading.enumerate()) - before
    assert len(burning) == 2
    await burn.run({"threads": "0"})
    for thread in burning:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in burning)


@pytest.mark.usefixtures("bot")
async def test_a_bot_knows_no_such_command_unless_its_configuration_says_so(
    control: Control,
) -> None:
    """As every bot but those of the local stack."""
    with pytest.raises(AssertionError, match="unknown_command"):
        await control.command("fragment_memory", mebibytes="1")


def test_nothing_is_offered_where_drills_are_not_allowed() -> None:
    """The default."""
    assert drill_commands(allowed=False) == {}
