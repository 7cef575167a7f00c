"""`python -m tests.crash`: thousands of deaths, and a table of what came of them.

The deaths are shared among workers, each with a world, a server of runs and databases of its own.
The exit code is 1 when anything was lost, repeated, stuck or broken, or when a named step had no
death at all.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.crash.checks import Found
from tests.crash.defects import PLANTS
from tests.crash.fork_server import ROOT, STRACE, server
from tests.crash.kill_points import OF_A_RECOVERY, SYSCALLS, Chooser
from tests.crash.rounds import Round
from tests.crash.services import World
from tests.postgres import Cluster
from trading_ops import clock
from trading_ops.store.failpoints import Failpoint

BOTS = 12
KILLS_A_ROUND = 50
AGAIN = 12
"""Extra runs for each failpoint without a kill, all aimed at it: a slow machine gets there late."""

LEASE_SECONDS = 1.0
"""With PostgreSQL a run waits out the leases of the one before it."""


@dataclasses.dataclass
class Tally:
    """What came of all rounds of one database."""

    kills: Counter[str] = dataclasses.field(default_factory=Counter)
    misses: Counter[str] = dataclasses.field(default_factory=Counter)
    found: Found = dataclasses.field(default_factory=Found)
    acknowledged: int = 0
    effects: int = 0
    refused: int = 0
    settled: float = 0.0
    """The longest time from the end of the faults until everything was settled, in seconds."""


async def work(given: argparse.Namespace) -> None:
    """Be one worker: run rounds; print the tally as JSON."""
    tally = Tally()
    chooser = Chooser(
        seed=given.seed,
        syscalls=given.database == "sqlite" and STRACE is not None,
        only=tuple(map(Failpoint, given.only)),
    )
    world = World(BOTS, given.seed)
    await world.start()
    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    left, number = given.kills, 0
    async with contextlib.AsyncExitStack() as stack:
        cluster = stack.enter_context(Cluster()) if given.database == "postgresql" else None
        processes = await stack.enter_async_context(server())
        while left > 0 and not chooser.is_done:
            number += 1
            killed = Round(
                folder=folder / f"round-{number}",
                world=world,
                chooser=chooser,
                seed=given.seed * 1000 + number,
                plant=given.plant,
                settle_seconds=given.settle,
                database_url=cluster.new_database() if cluster else None,
                lease=LEASE_SECONDS if cluster else None,
            )
            await killed.run(
                processes, min(left, KILLS_A_ROUND), full_disk=chooser.syscalls and number % 4 == 1
            )
            left -= KILLS_A_ROUND
            tally.found.add(killed.found)
            tally.settled = max(tally.settled, killed.settled_after)
            if killed.found.count:
                sys.stderr.write(f"seed {given.seed}: kept for a look: {killed.folder}\n")
                if given.fail_fast:
                    break
    await world.stop()
    tally.kills, tally.misses = chooser.kills, chooser.misses
    if not tally.found.count:
        shutil.rmtree(folder)
    sys.stdout.write(json.dumps(vars(tally) | {"found": vars(tally.found)}))


async def start_worker(
    given: argparse.Namespace, number: int, kills: int, only: Sequence[str] = ()
) -> dict[str, Any]:
    """Run one worker in a process of its own; return its tally."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.crash", "--worker", "--database", given.database),
        *("--kills", str(kills), "--seed", str(given.seed + number)),
        *("--settle", str(given.settle)),
        *(("--plant", given.plant) if given.plant else ()),
        *(("--fail-fast",) if given.fail_fast else ()),
        *(("--only", *only) if only else ()),
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
    tallies: list[dict[str, Any]] = await asyncio.gather(
        *(start_worker(given, number, share) for number in range(given.workers))
    )
    missing = [] if given.some else _never(tallies)
    if set(missing) & set(OF_A_RECOVERY):
        missing.append(Failpoint.STARTED)
    if missing and not any(Found(**tally["found"]).count for tally in tallies):
        tallies.append(await start_worker(given, given.workers, AGAIN * len(missing), only=missing))
    kills: Counter[str] = Counter()
    misses: Counter[str] = Counter()
    found = Found()
    for tally in tallies:
        kills.update(tally["kills"])
        misses.update(tally["misses"])
        found.add(Found(**tally["found"]))
    print_table(given, kills, misses)
    settled = max(tally["settled"] for tally in tallies)
    seconds = clock.monotonic() - began
    return print_verdict(given, kills, found, settled=settled, seconds=seconds)


def _never(tallies: list[dict[str, Any]]) -> list[Failpoint]:
    return [place for place in Failpoint if not any(tally["kills"].get(place) for tally in tallies)]


def print_table(given: argparse.Namespace, kills: Counter[str], misses: Counter[str]) -> None:
    """Print the deaths by place."""
    say(f"{'place':<20} {'kills':>6}   never reached in time")
    syscalls = tuple(SYSCALLS) if given.database == "sqlite" and STRACE else ()
    for place in (*Failpoint, *syscalls):
        say(f"{place:<20} {kills[place]:>6}   {misses[place] or ''}")


def print_verdict(
    given: argparse.Namespace,
    kills: Counter[str],
    found: Found,
    *,
    settled: float,
    seconds: float,
) -> int:
    """Print what was found; return the exit code."""
    total = kills.total()
    if given.database == "sqlite" and STRACE is None:
        say("strace is not installed: nothing was killed at system calls (Debian: strace)")
    say(f"seed {given.seed}, {given.database}: {total} kills in {seconds:.0f} s")
    say(f"settled at most {settled:.1f} s after the last fault")
    for kind, sentences in (
        ("acknowledged lost", found.lost),
        ("one-shot repeated", found.repeated),
        ("stuck", found.stuck),
        ("integrity", found.integrity),
        ("unexpected answers", found.answers),
    ):
        say(f"{kind + ':':<20} {len(sentences)}")
        for sentence in sentences[:10]:
            say(f"    {sentence}")
    never = [place for place in Failpoint if not kills[place]]
    if never:
        say(f"no kill at: {', '.join(never)}")
    return 1 if found.count or (never and not given.some) else 0


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 20))
    parser.add_argument("--settle", type=float, default=60.0, help="seconds until it is stuck")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="break a promise on purpose")
    parser.add_argument("--fail-fast", action="store_true", help="no further rounds then")
    parser.add_argument("--some", action="store_true", help="places without a kill are no failure")
    parser.add_argument("--only", nargs="*", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    given = parse()
    if given.worker:
        asyncio.run(work(given))
    else:
        sys.exit(asyncio.run(run(given)))
