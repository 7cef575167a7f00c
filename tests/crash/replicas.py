"""`python -m tests.crash.replicas`: two reconcilers on one PostgreSQL, frozen, killed, cut off.

The case that counts is forced again and again: a replica is frozen in the instruction before its
command is sent, the other takes its target over, and the first one is thawed, so that its command
arrives late. The leases are those of production. The exit code is 1 when anything was lost,
repeated, stuck or broken, when a takeover took too long, or when the case did not occur.
"""

import argparse
import asyncio
import contextlib
import random
import secrets
import shutil
import signal
import statistics
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from tests.bench.say import say
from tests.crash.checks import Found, check_all, still_open, timelines_of_open_incidents, unsettled
from tests.crash.fork_server import ForkedProcess, Server, server
from tests.crash.load import Load
from tests.crash.rounds import POLL_SECONDS, lay_out
from tests.crash.services import CALM, WILD, World
from tests.free_ports import free_port
from tests.postgres import Cluster
from trading_ops import clock
from trading_ops.domain.incident import Incident
from trading_ops.reconciler.lease import key_of
from trading_ops.store.engine import reading_engine
from trading_ops.store.failpoints import Failpoint
from trading_ops.store.tables import events, incidents

BOTS = 24
ILL_AT_ONCE = 6
EPISODE_SECONDS = 60.0
STEP_TIMEOUT = "90s"
"""Long: a command that was frozen must still be sent when it is thawed."""

FREEZE_SECONDS = (17.0, 24.0)
"""Longer than the lease."""

TAKEOVER_PROMISED = 20.0
SETTLE_SECONDS = 60.0
REACH_SECONDS = 20.0


@dataclass
class Replica:
    """One of the two, across restarts."""

    folder: Path
    port: int
    server: Server
    process: ForkedProcess | None = None

    async def begin(self, database: str, **more: Any) -> ForkedProcess:
        """Start a run."""
        environ = {
            "TRADING_OPS_VAR": str(self.folder / "var"),
            "TRADING_OPS_POLL_INTERVAL_SECONDS": POLL_SECONDS,
            "TRADING_OPS_UNCONFIRMED_INCIDENTS": "1000000000",
            "TRADING_OPS_DATABASE": database,
        }
        self.process = await self.server.begin(
            {"folder": str(self.folder), "environ": environ, **more}
        )
        return self.process


@dataclass
class Drill:
    """The whole run."""

    cluster: Cluster
    database: str
    replicas: list[Replica]
    random: random.Random
    world: World
    done: Counter[str] = field(default_factory=Counter)
    gone: dict[int, float] = field(default_factory=dict)
    """When each run was killed or frozen, by its process id, in seconds since the epoch."""

    thawed: list[tuple[float, float]] = field(default_factory=list)
    """When a command was held back, and when it was let go."""

    outages: list[tuple[float, float]] = field(default_factory=list)
    """From when to when the database was away."""

    found: Found = field(default_factory=Found)

    async def disturb(self, seconds: float) -> None:
        """Break something again and again until the time is over."""
        until = clock.monotonic() + seconds
        works = (
            self.freeze_before_an_effect,
            self.freeze_before_an_effect,
            self.freeze,
            self.kill,
            self.stop_the_database,
        )
        turn = 0
        while clock.monotonic() < until:
            await works[turn % len(works)]()
            turn += 1
            await asyncio.sleep(self.random.uniform(1, 4))

    async def kill(self) -> None:
        """One dies, and comes back after a while."""
        replica = self.random.choice(self.replicas)
        assert replica.process is not None
        self.gone[replica.process.pid] = clock.timestamp()
        await replica.process.end()
        self.done["kills"] += 1
        await asyncio.sleep(self.random.choice((0.5, 22)))
        await replica.begin(self.database)

    async def freeze(self) -> None:
        """One stands still for longer than its lease, and goes on as if nothing had been."""
        replica = self.random.choice(self.replicas)
        assert replica.process is not None
        replica.process.send(signal.SIGSTOP)
        self.gone[replica.process.pid] = clock.timestamp()
        await asyncio.sleep(self.random.uniform(*FREEZE_SECONDS))
        replica.process.send(signal.SIGCONT)
        self.done["freezes"] += 1

    async def freeze_before_an_effect(self) -> None:
        """One stands still when its command is as good as sent."""
        replica = self.random.choice(self.replicas)
        assert replica.process is not None
        await replica.process.end(signal.SIGTERM)
        process = await replica.begin(
            self.database, failpoint=Failpoint.EFFECT_BEFORE, signal="SIGSTOP", nth=1
        )
        if not await _stands_still(process):
            # It would freeze later, when no one thaws it.
            self.done["never reached an effect"] += 1
            await process.end()
            await replica.begin(self.database)
            return
        frozen = self.gone[process.pid] = clock.timestamp()
        await asyncio.sleep(self.random.uniform(*FREEZE_SECONDS))
        self.thawed.append((frozen, clock.timestamp()))
        process.send(signal.SIGCONT)
        self.done["freezes before an effect"] += 1

    async def stop_the_database(self) -> None:
        """It is stopped as in a crash, or stands still, for up to half a minute."""
        began = clock.timestamp()
        if self.random.random() < 0.5:
            await asyncio.to_thread(self.cluster.stop, "immediate")
            await asyncio.sleep(self.random.uniform(1, 15))
            await asyncio.to_thread(self.cluster.start)
            self.done["database stops"] += 1
        else:
            self.cluster.pause()
            await asyncio.sleep(self.random.uniform(1, 15))
            self.cluster.resume()
            self.done["database freezes"] += 1
        self.outages.append((began, clock.timestamp()))

    async def settle(self, load: Load, engine: Engine, folder: Path) -> None:
        """Without faults every incident closes."""
        await load.stop_falling_ill()
        self.found.stuck += await _until_empty(engine, unsettled)
        _keep_stories(self.found, engine, folder / "unsettled.txt")
        await load.end_illnesses()
        self.found.stuck += await _until_empty(engine, still_open)
        _keep_stories(self.found, engine, folder / "still-open.txt")

    def takeovers(self, engine: Engine) -> list[float]:
        """Return how long whatever a dead or frozen replica had to do waited for the other one.

        In seconds, without the time in which the database was away too.
        """
        with engine.connect() as connection:
            taken = connection.execute(
                select(events.c.at, events.c.note).where(events.c.kind == "claim_taken_over")
            ).all()
            known = [Incident(**row) for row in connection.execute(select(incidents)).mappings()]
        took = []
        for row in taken:
            at, key = row.at.timestamp(), row.note.partition(" ")[0]
            opened = [
                incident.opened_at.timestamp()
                for incident in known
                if key_of(incident) == key
                and incident.opened_at <= row.at
                and (incident.closed_at is None or incident.closed_at > row.at)
            ]
            for pid, gone in self.gone.items():
                if f"-{pid}-" in row.note and at >= gone and opened:
                    since = max(gone, min(opened))
                    took.append(at - since - self._outage(since, at))
        return took

    def _outage(self, begin: float, end: float) -> float:
        return sum(max(0.0, min(end, up) - max(begin, down)) for down, up in self.outages)


async def _stands_still(process: ForkedProcess) -> bool:
    """Wait until it has stopped itself."""
    until = clock.monotonic() + REACH_SECONDS
    while clock.monotonic() < until and not process.ended.done():
        if _state(process.pid) == "T":
            return True
        await asyncio.sleep(0.02)
    return False


def _state(pid: int) -> str:
    """Return what the kernel says of a process: R, S, T for stopped, nothing when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[0]


def _keep_stories(found: Found, engine: Engine, path: Path) -> None:
    if found.stuck:
        with engine.connect() as connection:
            path.write_text(timelines_of_open_incidents(connection), "utf-8")


async def _until_empty(engine: Engine, what: Any) -> list[str]:
    until = clock.monotonic() + SETTLE_SECONDS
    while True:
        with engine.connect() as connection:
            left: list[str] = what(connection)
        if not left or clock.monotonic() > until:
            return left
        await asyncio.sleep(0.2)


async def run(minutes: float, seed: int, *, fences: bool = True) -> int:
    """Run the whole; return the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="crash-replicas-"))
    world = World(BOTS, seed)
    world.fences = fences
    await world.start()
    world.begin(folder)
    key = secrets.token_hex(16)
    async with contextlib.AsyncExitStack() as stack:
        cluster = stack.enter_context(Cluster())
        replicas = []
        for name in ("a", "b"):
            processes = await stack.enter_async_context(server())
            replicas.append(Replica(folder / name, free_port(), processes))
            lay_out(replicas[-1].folder, world, replicas[-1].port, key, timeout=STEP_TIMEOUT)
        database = cluster.new_database()
        drill = Drill(cluster, database, replicas, random.Random(seed), world)
        load = Load(
            world=world,
            urls=[f"http://127.0.0.1:{replica.port}" for replica in replicas],
            token="webhook",
            seed=seed,
            ill_at_once=ILL_AT_ONCE,
            episode_seconds=EPISODE_SECONDS,
        )
        for replica in replicas:
            await replica.begin(database)
        engine = reading_engine(database)
        try:
            async with load.running(senders=3, pause=0.1):
                world.faults = WILD
                await drill.disturb(minutes * 60)
                world.faults = CALM
                await drill.settle(load, engine, folder)
            took = drill.takeovers(engine)
            assert world.witness is not None
            seen = world.witness.lines()
            drill.found.add(check_all(engine, key.encode(), load.promised, seen))
        finally:
            engine.dispose()
            for replica in replicas:
                if replica.process is not None:
                    await replica.process.end()
    await world.stop()
    code = tell(drill, load, seen, took)
    if code == 0:
        shutil.rmtree(folder)
    else:
        say(f"kept for a look: {folder}")
    return code


def tell(drill: Drill, load: Load, seen: list[dict[str, Any]], took: list[float]) -> int:
    """Print what happened; return the exit code."""
    kinds = Counter(line["kind"] for line in seen)
    shots = sum(line["kind"] == "done" and line["one_shot"] for line in seen)
    late = sum(
        any(frozen < thawed <= line["at"] < thawed + 5 for frozen, thawed in drill.thawed)
        for line in seen
        if line["kind"] == "refused"
    )
    for kind, count in sorted(drill.done.items()):
        say(f"{kind + ':':<28} {count}")
    say(f"{'acknowledged alerts:':<28} {len(load.promised.alerts)}")
    say(f"{'effects, one-shots:':<28} {kinds['done']}, {shots}")
    say(f"{'stale commands refused:':<28} {kinds['refused']}, {late} of them after a thaw")
    slowest = max(took, default=0.0)
    if took:
        say(
            f"{'takeovers:':<28} {len(took)}, p50 {statistics.median(took):.1f} s, "
            f"max {slowest:.1f} s"
        )
    found = drill.found
    for kind, sentences in vars(found).items():
        say(f"{kind + ':':<28} {len(sentences)}")
        for sentence in sentences[:10]:
            say(f"    {sentence}")
    if not late:
        say("no stale command arrived after a takeover: the case that counts did not occur")
    if not took:
        say("nothing was taken over: the run proves nothing of it")
    if slowest > TAKEOVER_PROMISED:
        say(f"a takeover took longer than {TAKEOVER_PROMISED:g} s")
    return 1 if found.count or not late or not 0 < slowest <= TAKEOVER_PROMISED else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.crash.replicas", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 20))
    parser.add_argument("--no-fences", action="store_true", help="break a promise on purpose")
    given = parser.parse_args()
    say(f"seed {given.seed}")
    sys.exit(asyncio.run(run(given.minutes, given.seed, fences=not given.no_fences)))
