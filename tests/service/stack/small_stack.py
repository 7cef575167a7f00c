"""A supervisor in a process of its own, to be killed: `python small_stack.py FOLDER PORT PORT`."""

import asyncio
import sys
from pathlib import Path

from tests.service.stack.small_processes import supervising, venue_and_bot
from trading_ops import logs


async def main(folder: Path, ports: list[int]) -> None:
    async with supervising(folder, *venue_and_bot(folder, ports)) as supervisor:
        await supervisor.start()
        print(*(unit.child.pid for unit in supervisor if unit.child), flush=True)  # noqa: T201
        await supervisor.asked_to_stop.wait()


logs.configure("small-stack")  # to standard error; the pids are on standard output
asyncio.run(main(Path(sys.argv[1]), [int(argument) for argument in sys.argv[2:]]))
