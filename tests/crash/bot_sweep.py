"""`python -m tests.crash.bot_sweep`: the bot dies hundreds of times while the venue misbehaves.

Each run ends by SIGKILL, at a named place or at a random moment. Then a run that submits nothing
recovers, and what it believes is held against what the venue itself knows: balances and positions
to the last digit, no order twice, no halt forgotten. The exit code is 1 when anything differs.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.crash.bot_commands import OperatorCommands
from tests.crash.bot_defects import PLANTS
from tests.crash.bot_faults import FAULTS
from tests.crash.bot_venue import BotVenue
from tests.crash.fork_server import ROOT, ForkedProcess, Server, server
from tests.crash.venue_journal import JournalChecks
from trading_ops import clock
from trading_ops.botkit.failpoints import BotFailpoint

LIFE_SECONDS = 4.0
"""A run that did not come to its place by then is killed where it is."""

LATE_SECONDS = 2.0
HALTED_SECONDS = 0.6
"""More for a run that was halted: a stop is lost when the strategy changes its mind."""

SETTLE_SECONDS = 25.0
RANDOM = "random moment"
BEGAN_WITH = {"BTC/USD": Decimal(1), "ETH/USD": Decimal(10)}
"""What the account holds before the bot's first trade, by symbol in base units."""

OF_A_HOLD = frozenset({BotFailpoint.HOLD_PLACING, BotFailpoint.HOLD_STORED})
"""Passed when another client trades on the account."""

OF_A_RECOVERY = frozenset({BotFailpoint.STEP_APPLYING, BotFailpoint.STEP_APPLIED})
OF_AN_END = frozenset(
    {
        BotFailpoint.SHUTDOWN_STARTED,
        BotFailpoint.ORDERS_CANCELLED,
        BotFailpoint.DEADMAN_DISARMED,
        BotFailpoint.RUN_END_STORING,
        BotFailpoint.RUN_END_STORED,
    }
)
"""Passed on a stop request."""

OFTEN = frozenset(
    {
        BotFailpoint.CHANGE,
        BotFailpoint.CHANGE_STORED,
        BotFailpoint.COLLECTED,
        BotFailpoint.DEADMAN_RENEWING,
        BotFailpoint.DEADMAN_RENEWED,
    }
)
"""Passed many times in a run; the others once, or seldom."""


@dataclasses.dataclass
class Tally:
    """The result of one worker."""

    kills: Counter[str] = dataclasses.field(default_factory=Counter)
    misses: Counter[str] = dataclasses.field(default_factory=Counter)
    faults: Counter[str] = dataclasses.field(default_factory=Counter)
    orders: int = 0
    trades: int = 0
    commands: Counter[str] = dataclasses.field(default_factory=Counter)
    settled: float = 0.0
    """The longest time to settle, in seconds."""

    wrong: list[str] = dataclasses.field(default_factory=list)


class Sweep:
    """One worker: a venue, and bot processes on it, one after the other."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.tally = Tally()
        self._given = given
        self._random = random.Random(given.seed)
        self._world = BotVenue(folder, given.seed)
        self._seq = 0
        self._witness = JournalChecks()
        self._commands = OperatorCommands(self._world, self._random)
        self.tally.commands = self._commands.acknowledged

    async def run(self) -> None:
        """Kill until it is enough, or something is wrong."""
        await self._world.start()
        try:
            async with server("tests.crash.bot_process") as processes:
                await self._settle(processes, "the first start")
                for number in range(self._given.kills):
                    where = await self._kill(processes)
                    await self._settle(processes, f"kill {number + 1} at {where}")
                    if self.tally.wrong and self._given.fail_fast:
                        break
        finally:
            await self._world.stop()

    async def _kill(self, processes: Server) -> str:
        """Live until SIGKILL; return where it was."""
        if self._random.random() < 0.3:
            await self._misbehave(0.7)
            await self._live(processes, {}, patience=self._random.uniform(0.3, 2.5))
            where = RANDOM
        else:
            where = await self._kill_at(processes, min(BotFailpoint, key=self._seen))
        self.tally.kills[where] += 1
        await self._world.clear_faults()
        return where

    async def _kill_at(self, processes: Server, place: BotFailpoint) -> str:
        if place in OF_A_RECOVERY:
            # Another kill first, so that there is something to repair.
            await self._misbehave(1.0)
            await self._live(processes, {}, patience=self._random.uniform(0.5, 1.5))
            self.tally.kills[RANDOM] += 1
            await self._world.clear_faults()
            await self._world.deposit(self._random.randint(1, 1000))
        elif place is BotFailpoint.BALANCES_ADOPTED:
            for path in (self._world.folder / "bot").glob("bot.db*"):
                path.unlink()
        elif place not in OF_A_HOLD:
            await self._misbehave(0.7)
        options = {"place": place, "nth": self._random.randint(1, 4) if place in OFTEN else 1}
        if await self._live(processes, options, patience=LIFE_SECONDS):
            return place
        self.tally.misses[place] += 1
        return RANDOM

    async def _misbehave(self, chance: float) -> None:
        faults = [fault for fault in FAULTS if self._given.fault in {None, fault["kind"]}]
        if self._given.fault or self._random.random() < chance:
            fault = self._random.choice(faults)
            await self._world.break_({**fault, "seed": self._random.randrange(1 << 30)})
            self.tally.faults[fault["kind"]] += 1

    async def _live(self, processes: Server, how: dict[str, Any], *, patience: float) -> bool:
        """Live for so long at most; return whether it killed itself."""
        self._witness.must_not_trade = self._commands.must_not_trade
        process = await processes.begin(
            {"folder": str(self._world.folder), "plant": self._given.plant, **how}
        )
        try:
            return await self._live_on(process, how.get("place"), patience)
        finally:
            await self._read_journal(f"a run until {how.get('place', RANDOM)}")
            self._witness.must_not_trade = self._witness.halted = False

    async def _live_on(
        self, process: ForkedProcess, place: BotFailpoint | None, patience: float
    ) -> bool:
        if self._commands.wants_live:
            await self._read_journal("a run in paper")
            self._witness.must_not_trade = False
            await self._commands.send_go_live(process)
        if place in OF_A_HOLD:
            await asyncio.wait({process.ended}, timeout=0.7)
            before = self._witness.strangers
            await self._world.trade_by_hand()
            await self._read_journal(place)
            self._commands.external |= self._witness.strangers != before
        elif place in OF_AN_END:
            await asyncio.wait({process.ended}, timeout=1.0)
            process.send(signal.SIGTERM)
        elif self._random.random() < 0.2:
            if self._random.random() < 0.7:  # the others get the command during recovery
                await self._until_covered(process)
            if await self._commands.send(process):
                await self._read_journal("what was done before the command")
                # Orders are lost at that point.
                self._witness.halted = place is not BotFailpoint.BALANCES_ADOPTED
                patience += HALTED_SECONDS
        done, _ = await asyncio.wait({process.ended}, timeout=patience)
        if not done:
            await process.end(signal.SIGKILL)
            return False
        return await process.ended == -signal.SIGKILL

    async def _until_covered(self, process: ForkedProcess) -> None:
        """Wait until a stop covers a position, or for so long that there may never be one."""
        deadline = clock.monotonic() + LATE_SECONDS
        while clock.monotonic() < deadline and not self._witness.covered:
            done, _ = await asyncio.wait({process.ended}, timeout=0.05)
            if done:
                return
            await self._read_journal("what was done before the command")

    def _seen(self, place: BotFailpoint) -> tuple[int, float]:
        return self.tally.kills[place] + self.tally.misses[place], self._random.random()

    async def _settle(self, processes: Server, after: str) -> None:
        belief = self._world.folder / "belief.json"
        belief.unlink(missing_ok=True)
        began = clock.monotonic()
        process = await processes.begin(
            {
                "folder": str(self._world.folder),
                "plant": self._given.plant,
                "settle_seconds": SETTLE_SECONDS,
            }
        )
        await asyncio.wait({process.ended}, timeout=SETTLE_SECONDS + 15)
        if not belief.exists():
            await process.end()
            self._wrong(after, "it did not come back")
            return
        self.tally.settled = max(self.tally.settled, clock.monotonic() - began)
        await self._judge(json.loads(belief.read_text()), after)

    async def _judge(self, belief: dict[str, Any], after: str) -> None:
        await self._read_journal(after)
        if not belief["recovered"]:
            self._wrong(after, f"it has not recovered: {belief['detail']}")
            self._commands.release_all()
            return
        if belief["alive"]:
            self._wrong(after, f"{belief['alive']} orders are left")
        there = await self._world.balances()
        for name, amount in there.items():
            if (ours := Decimal(belief["expected"].get(name, "0"))) != amount:
                self._wrong(after, f"{name}: ours {ours}, the venue's {amount}")
        for symbol, first in BEGAN_WITH.items():
            ours = Decimal(belief["positions"].get(symbol, "0"))
            strangers = self._witness.strangers if symbol == "BTC/USD" else Decimal(0)
            if ours != (theirs := there[symbol.partition("/")[0]] - first - strangers):
                self._wrong(after, f"position in {symbol}: ours {ours}, the venue's {theirs}")
        for sentence in self._commands.check(belief):
            self._wrong(after, sentence)
        self._commands.survive()

    async def _read_journal(self, after: str) -> None:
        """See that no order was sent twice, and none beside one that was still open."""
        entries, self._seq = await self._world.journal(self._seq)
        self._witness.read(entries)
        self.tally.orders, self.tally.trades = self._witness.orders, self._witness.trades
        for sentence in self._witness.take():
            self._wrong(after, sentence)

    def _wrong(self, after: str, problem: str) -> None:
        self.tally.wrong.append(f"after {after}: {problem}")


async def work(given: argparse.Namespace) -> None:
    """Be one worker; print the tally as JSON."""
    folder = Path(tempfile.mkdtemp(prefix="crash-bot-"))
    sweep = Sweep(given, folder / "world")
    await sweep.run()
    if sweep.tally.wrong:
        sys.stderr.write(f"seed {given.seed}: kept for a look: {folder}\n")
    else:
        shutil.rmtree(folder)
    sys.stdout.write(json.dumps(vars(sweep.tally)))


async def start_worker(given: argparse.Namespace, number: int, kills: int) -> dict[str, Any]:
    """Run one worker in a process of its own; return its tally."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.crash.bot_sweep", "--worker"),
        *("--kills", str(kills), "--seed", str(given.seed + number)),
        *(("--plant", given.plant) if given.plant else ()),
        *(("--fault", given.fault) if given.fault else ()),
        *(("--fail-fast",) if given.fail_fast else ()),
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"a worker ended with {process.returncode}")
    tally: dict[str, Any] = json.loads(output)
    return tally


async def run(given: argparse.Namespace) -> int:
    """Share the deaths among the workers, print the table, return the exit code."""
    began = clock.monotonic()
    share = -(-given.kills // given.workers)
    tallies = await asyncio.gather(
        *(start_worker(given, number, share) for number in range(given.workers))
    )
    counted: dict[str, Counter[str]] = {}
    for name in ("kills", "misses", "faults"):
        counted[name] = Counter()
        for tally in tallies:
            counted[name].update(tally[name])
    say(f"{'place':<20} {'kills':>6}   never reached in time")
    for place in (*BotFailpoint, RANDOM):
        say(f"{place:<20} {counted['kills'][place]:>6}   {counted['misses'][place] or ''}")
    faults = ", ".join(f"{name} {count}" for name, count in counted["faults"].most_common())
    say(f"faults: {faults or 'none'}")
    seconds, kills = clock.monotonic() - began, counted["kills"].total()
    orders, trades = (sum(tally[name] for tally in tallies) for name in ("orders", "trades"))
    say(f"seed {given.seed}: {kills} kills in {seconds:.0f} s; {orders} orders, {trades} fills")
    commands = sum((Counter(tally["words"]) for tally in tallies), Counter[str]())
    say(
        f"said and acknowledged: halt {commands['halt']}, go_paper {commands['go_paper']}, "
        f"go_live {commands['go_live']}; deaths that one outlived beyond the first: "
        f"{commands['outlived']}"
    )
    say(f"settled at most {max(tally['settled'] for tally in tallies):.1f} s after a kill")
    wrong = [sentence for tally in tallies for sentence in tally["wrong"]]
    say(f"wrong: {len(wrong)}")
    for sentence in wrong[:20]:
        say(f"    {sentence}")
    never = [place for place in BotFailpoint if not counted["kills"][place]]
    if never:
        say(f"no kill at: {', '.join(never)}")
    return 1 if wrong or (never and not given.some) else 0


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.bot_sweep", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 20))
    parser.add_argument("--plant", choices=sorted(PLANTS), help="break a promise on purpose")
    parser.add_argument("--fault", choices=sorted({fault["kind"] for fault in FAULTS}))
    parser.add_argument("--fail-fast", action="store_true", help="no further kills then")
    parser.add_argument("--some", action="store_true", help="places without a kill are no failure")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    given = parse()
    if given.worker:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(work(given))
    else:
        sys.exit(asyncio.run(run(given)))
