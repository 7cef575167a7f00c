"""The latency of orders before and in a maintenance window in which jobs run.

    python -m tests.bench.maintenance

The bot is the real one on a paper venue. In the window its parts that can wait are suspended, and
another process, as the reconciler does, takes backups of a database of 50 MB, restores them and
cleans up, one after the other. Both halves of a pair follow each other, so that other work on the
machine concerns both. The goal is a ratio of the p99 of at most 1.2.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from multiprocessing.synchronize import Event
from pathlib import Path

from tests.backup.installation import Installation
from tests.backup.load import fill
from tests.bench.bot_orders import Stamps, Times, order
from tests.bench.bot_rig import bot_at_a_venue
from tests.bench.say import p50_p99, say
from trading_ops.backup import prune
from trading_ops.botkit.failpoints import watch
from trading_ops.cleanup.carry_out import carry_out
from trading_ops.cleanup.rules import leftovers

MEGABYTES = 50
WARM_UP = 20
WINDOW_SECONDS = 300
GOAL = 1.2


def work(root: Path, ready: Event, end: Event) -> None:
    """Run jobs until the end."""
    root.mkdir()
    installation = Installation.make(root)
    fill(installation, MEGABYTES)
    ready.set()
    while not end.is_set():
        installation.back_up()
        installation.restore_test(installation.manifests()[-1])
        prune.prune(installation.settings, installation.repository)
        carry_out(installation.settings, leftovers(installation.settings))


@contextlib.asynccontextmanager
async def jobs(folder: Path) -> AsyncIterator[None]:
    """Run them in another process."""
    spawn = multiprocessing.get_context("spawn")
    ready, end = spawn.Event(), spawn.Event()
    process = spawn.Process(target=work, args=(folder, ready, end), daemon=True)
    process.start()
    try:
        await asyncio.to_thread(ready.wait)
        yield
    finally:
        end.set()
        await asyncio.to_thread(process.join)


async def main() -> int:
    """Run the pairs and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--orders", type=int, default=150, help="in each half of a pair")
    given = parser.parse_args()
    stamps, ratios = Stamps(), []
    watch(stamps)
    with tempfile.TemporaryDirectory(prefix="bench-maintenance-") as name:
        async with bot_at_a_venue(request_timeout_seconds=30.0, lost_order_seconds=120.0) as (
            bot,
            _venue,
        ):

            async def half() -> list[float]:
                times = Times()
                for _ in range(given.orders):
                    await order(bot, stamps, times)
                return times.total

            for _ in range(WARM_UP):
                await order(bot, stamps, Times())
            for pair in range(given.pairs):
                before = await half()
                async with jobs(Path(name, str(pair))):
                    bot.suspension.suspend(WINDOW_SECONDS)
                    during = await half()
                    bot.suspension.suspend(0)
                rows = [p50_p99(latencies) for latencies in (before, during)]
                ratios.append(rows[1][1] / rows[0][1])
                say(
                    f"  before p50 {rows[0][0]:6.2f}  p99 {rows[0][1]:7.2f} ms   "
                    f"in the window p50 {rows[1][0]:6.2f}  p99 {rows[1][1]:7.2f} ms   "
                    f"ratio of the p99 {ratios[-1]:.2f}"
                )
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    middle = statistics.median(ratios)
    say(
        f"median ratio of the p99 in {given.pairs} pairs of {given.orders} orders: {middle:.2f} "
        f"(goal {GOAL}: {'met' if middle <= GOAL else 'MISSED'}); load a core {load:.1f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
