"""`python -m tests.crash.bot_soak --minutes 30`: one bot runs long on a faulty venue.

A real venue and a real bot. Faults come and go by a seed, money is paid in and out, components are
restarted and sessions replaced through the agent, as the reconciler has it done. At the end what
the bot believes is held against what the venue itself knows, and its memory, files, tasks and
threads must not have grown. The exit code is 1 when anything is not as it should be.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.crash.bot_sweep import BEGAN_WITH, SETTLE_SECONDS
from tests.crash.bot_venue import BotVenue
from tests.crash.fork_server import server
from tests.crash.soak_bot import PLANTS, SoakBot
from tests.crash.soak_faults import SoakFaults
from tests.crash.soak_gauges import (
    FINE_MINUTES,
    WARM_UP,
    Series,
    files_of,
    judge_count,
    judge_memory,
    memory_of,
    threads_of,
)
from tests.crash.venue_journal import JournalChecks
from trading_ops import clock
from trading_ops.cli.exporter_config import SYMBOLS
from trading_ops_lab.supervisor.configs import DEAD_MAN_SECONDS

READINGS_SECONDS = 10.0
LEAST_READINGS = 120
"""Shorter runs read more often."""

LOOK_SECONDS = 0.2
START_SECONDS = 120.0
CALM_SECONDS = 120.0
"""Time for the bot to become healthy after the last fault."""

FROM_THE_WORLD = frozenset(
    {"name", "venue", "venue_address", "agent_address", "state_dir", "metrics_token_file"}
    | {"agent_token_file", "key_file", "secret_file"}
)
FASTER: dict[str, Any] = {
    "symbols": list(SYMBOLS),
    "dead_man_seconds": DEAD_MAN_SECONDS,
    "pass_interval_seconds": 0.25,
    "reconcile_seconds": 15.0,
    # Four times as many passes pay four times the fees: these two limits would hold it rightly.
    "risk": {"daily_loss": "1000", "total_drawdown": "1000"},
}
"""Beside the addresses; the rest is the demo's, which is the defaults."""


@dataclasses.dataclass
class Soak:
    """One run, from the first start to the judgement."""

    given: argparse.Namespace
    world: BotVenue
    wrong: list[str] = dataclasses.field(default_factory=list)
    lines: list[str] = dataclasses.field(default_factory=list)
    series: dict[str, Series] = dataclasses.field(default_factory=dict)
    witness: JournalChecks = dataclasses.field(default_factory=JournalChecks)
    _seq: int = 0

    async def run(self) -> None:
        """Soak it, and judge."""
        await self.world.start()
        try:
            self._configure()
            self.bot = SoakBot(self.world, self.given.seed, self.given.plant)
            self.faults = SoakFaults(self.world, self.given.seed)
            self.bot.start()
            try:
                await self._live()
            finally:
                if not self.bot.ended:
                    code = await self.bot.stop()
                    self._demand(code == 0, f"asked to stop, it exited with {code}")
            self._check_run()
            await self._settle()
        finally:
            await self.world.stop()

    def _configure(self) -> None:
        path = self.world.folder / "bot.json"
        config = json.loads(path.read_text())
        kept = {name: value for name, value in config.items() if name in FROM_THE_WORLD}
        path.write_text(json.dumps({**kept, **FASTER}))

    async def _live(self) -> None:
        seconds = 60 * (self.given.warm_up + self.given.minutes)
        watching = asyncio.create_task(self.bot.watch())
        if not await self._is_well(START_SECONDS):
            self.wrong.append(f"it is not well {START_SECONDS:.0f} s after its start")
        trouble = [
            asyncio.create_task(work())
            for work in (
                self.faults.break_things,
                self.faults.move_money,
                self.bot.order_at_whim,
            )
        ]
        tasks = [watching, *trouble]
        try:
            await self._read_on(seconds, tasks)
            await _end(*trouble)
            await self.world.clear_faults()
            await self._calm_down()
        finally:
            await _end(*tasks)

    async def _read_on(self, seconds: float, tasks: list[asyncio.Task[None]]) -> None:
        """Read at the interval until the time is over, or it has ended, or the soak has a bug."""
        began, due = clock.monotonic(), 0.0
        interval = min(READINGS_SECONDS, seconds / LEAST_READINGS)
        while (at := clock.monotonic() - began) < seconds and not self.bot.ended:
            await self._read(at)
            due = max(due + interval, at)
            await asyncio.wait(
                tasks,
                timeout=max(0.0, began + due - clock.monotonic()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in tasks:
                if task.done():
                    task.result()

    async def _read(self, at: float) -> None:
        await self.bot.count_tasks()
        with contextlib.suppress(OSError):  # it has just ended, which is seen elsewhere
            rss, own = memory_of(self.bot.pid)
            self._note("memory of the bot (RSS)", at, rss)
            self._note("memory of the bot (anonymous)", at, own)
            self._note("memory of the venue (anonymous)", at, memory_of(self.world.pid)[1])
            self._note("open files", at, files_of(self.bot.pid))
            self._note("threads", at, threads_of(self.bot.pid))
        if self.bot.tasks:
            self._note("tasks", at, self.bot.tasks)
        await self._read_journal()

    def _note(self, name: str, at: float, size: float) -> None:
        given = self.given
        share = given.warm_up / (given.warm_up + given.minutes) if given.warm_up else WARM_UP
        self.series.setdefault(name, Series(warm_up=share)).add(at, size)

    async def _read_journal(self) -> None:
        while True:
            entries, last = await self.world.journal(self._seq)
            self.witness.read(entries)
            if not entries:
                return
            self._seq = entries[-1]["seq"]
            if self._seq >= last:
                return

    async def _calm_down(self) -> None:
        """Wait until it is healthy, then have it reconcile with the venue."""
        began = clock.monotonic()
        if await self._is_well(CALM_SECONDS) and await self._agrees(began + CALM_SECONDS):
            spent = clock.monotonic() - began
            self.lines.append(f"healthy {spent:.1f} s after the last fault")
        else:
            self.wrong.append(f"it is not well {CALM_SECONDS:.0f} s after the last fault")

    async def _is_well(self, within: float) -> bool:
        deadline = clock.monotonic() + within
        # Of what another process tells, without an event.
        while not self.bot.ready and not self.bot.ended and clock.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        return self.bot.ready

    async def _agrees(self, deadline: float) -> bool:
        while not self.bot.ended and clock.monotonic() < deadline:
            if await self.bot.order("reconcile_positions", {}):
                return True
            await asyncio.sleep(LOOK_SECONDS)
        return False

    def _check_run(self) -> None:
        for name, reason in self.bot.holds.items():
            self.wrong.append(f"held by {name}: {reason}")
        crashes = self.bot.crashes()
        self.wrong += [f"it logged: {line}" for line in crashes[:5]]
        if not self.series:
            self.wrong.append("nothing was read of it")
        for name, series in self.series.items():
            memory = name.startswith("memory")
            minutes = self.given.minutes
            found = judge_memory(name, series, minutes) if memory else judge_count(name, series)
            self.lines.append(found.line)
            self._demand(found.flat or "venue" in name, f"{name} grew")

    async def _settle(self) -> None:
        """Have a run that submits nothing write down what it believes, and compare."""
        belief = self.world.folder / "belief.json"
        async with server("tests.crash.bot_process") as runs:
            process = await runs.begin(
                {"folder": str(self.world.folder), "settle_seconds": SETTLE_SECONDS}
            )
            await asyncio.wait({process.ended}, timeout=SETTLE_SECONDS + 15)
            if not process.ended.done():
                await process.end()
        await self._read_journal()
        self.wrong += self.witness.take()
        if not belief.exists():
            self.wrong.append("it did not come back")
            return
        await self._judge_belief(json.loads(belief.read_text()))

    async def _judge_belief(self, belief: dict[str, Any]) -> None:
        self._demand(belief["recovered"], f"it has not recovered: {belief['detail']}")
        self._demand(not belief["alive"], f"{belief['alive']} orders are left")
        there = await self.world.balances()
        drifts = 0
        for name, amount in there.items():
            ours = Decimal(belief["expected"].get(name, "0"))
            drifts += ours != amount
            self._demand(ours == amount, f"{name}: ours {ours}, the venue's {amount}")
        for symbol, first in BEGAN_WITH.items():
            ours = Decimal(belief["positions"].get(symbol, "0"))
            theirs = there[symbol.partition("/")[0]] - first
            drifts += ours != theirs
            self._demand(ours == theirs, f"position in {symbol}: ours {ours}, theirs {theirs}")
        self.lines.append(
            f"drift at the end: {drifts} of {len(there) + len(BEGAN_WITH)} balances and positions"
        )

    def _demand(self, well: object, otherwise: str) -> None:
        if not well:
            self.wrong.append(otherwise)


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def show(soak: Soak) -> None:
    """Print what came of it."""
    bot, faults, witness = soak.bot, soak.faults, soak.witness
    given, count = soak.given, faults.faults.total()
    say(f"seed {given.seed}: {given.minutes:g} minutes after {given.warm_up:g}, {count} faults")
    say(f"faults: {_listed(faults.faults)}")
    say(f"commands: {_listed(bot.commands)}")
    say(f"money was moved {faults.transfers} times")
    say(f"{witness.orders} orders, {witness.trades} fills")
    looks = max(1, bot.health.total())
    shares = ", ".join(f"{name} {count / looks:.1%}" for name, count in bot.health.most_common())
    say(f"health: {shares}")
    for line in soak.lines:
        say(line)
    say(f"wrong: {len(soak.wrong)}")
    for sentence in soak.wrong[:20]:
        say(f"    {sentence}")


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counted.items())) or "none"


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.bot_soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="whose memory is judged")
    parser.add_argument(
        "--warm-up",
        type=float,
        help="minutes before: as many again where they are enough to tell a leak, else none",
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 20))
    parser.add_argument(
        "--plant",
        action="append",
        default=[],
        choices=sorted(PLANTS),
        help="break a promise on purpose, or several",
    )
    given = parser.parse_args(arguments)
    if given.warm_up is None:
        given.warm_up = given.minutes if given.minutes >= FINE_MINUTES else 0.0
    return given


def main() -> int:
    """Soak; keep the folder when something was wrong."""
    given = parse()
    folder = Path(tempfile.mkdtemp(prefix="soak-bot-"))
    soak = Soak(given, BotVenue(folder / "world", given.seed))
    asyncio.run(soak.run())
    show(soak)
    if soak.wrong:
        say(f"kept for a look: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
