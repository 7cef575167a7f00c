"""`python -m tests.crash.bot_replicas`: two instances of a bot, killed, frozen, cut off.

The leases are those of production. The case that counts is forced again and again: the leader is
frozen when its order is written down and not yet sent, the other one takes over, and the first one
is thawed. The witness is the venue's journal. The exit code is 1 when two ever traded in turns,
when money differs at the end, when a takeover took too long, or when the case did not occur.
"""

import argparse
import asyncio
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.say import say
from tests.crash.bot_instances import (
    PLANTED,
    Instance,
    Pair,
    begin,
    finish,
    returned,
    tag_of,
    until,
)
from tests.postgres import Cluster
from trading_ops import clock
from trading_ops.botkit.failpoints import BotFailpoint

LEASE: dict[str, float] = {}
"""Nothing is set: what the settings have by themselves."""

TAKEOVER_PROMISED = 20.0
WITHIN = 60.0
FREEZE_PLACES = (
    BotFailpoint.INTENT_STORED,
    BotFailpoint.INTENT_STORED,
    BotFailpoint.SUBMITTED,
    BotFailpoint.CHANGE,
)
LEDGER = "SELECT currency, amount FROM bot_alpha.expected_balances"


@dataclass
class Drill:
    """The whole run."""

    pair: Pair
    random: random.Random
    plant: str = ""
    done: Counter[str] = field(default_factory=Counter)
    takeovers: dict[str, list[float]] = field(default_factory=dict)
    """By what was done, how long after it the other instance's first order was at the venue."""

    problems: list[str] = field(default_factory=list)

    async def disturb(self, seconds: float) -> None:
        """Break something again and again until the time is over."""
        deadline = clock.monotonic() + seconds
        works = (
            self.freeze_at_a_place,
            self.kill,
            self.freeze,
            self.cut,
            self.end,
            self.no_database,
        )
        turn = 0
        while clock.monotonic() < deadline and not self.plant:
            await works[turn % len(works)]()
            turn += 1
            self.problems += await self._overlaps()
        if self.plant:
            await self.freeze()

    async def start_all(self) -> None:
        """Start both, one after the other."""
        leader = self._start(self.pair.instances[0])
        await until(lambda: self.pair.first_order_of(leader.tag), within=WITHIN, what="an order")
        await self._watching(self._start(self.pair.instances[1]))

    async def kill(self) -> None:
        """kill -9 of the leader, which comes back at once or later."""
        leader, other = await self._roles()
        began = clock.timestamp()
        leader.end()
        await self._takes_over("kills", other, began)
        await self._back(leader)

    async def freeze(self) -> None:
        """The leader stands still at any instruction until another one trades."""
        leader, other = await self._roles()
        began = clock.timestamp()
        leader.send(signal.SIGSTOP)
        await self._takes_over("freezes", other, began)
        await self._thaw(leader)

    async def freeze_at_a_place(self) -> None:
        """The leader stands still where it hurts most: an order is written down, and not sent."""
        leader, other = await self._roles()
        leader.freeze_file.touch()

        async def stands_still() -> bool:
            return leader.stopped

        await until(stands_still, within=WITHIN, what="it stands still")
        await self._takes_over("freezes at a place", other, clock.timestamp())
        await self._thaw(leader)

    async def cut(self) -> None:
        """The network between the leader and the database carries nothing for a while."""
        leader, other = await self._roles()
        began = clock.timestamp()
        leader.wire.stall()
        await self._takes_over("cuts", other, began)
        leader.wire.restore()
        await self._ends(leader)
        await self._back(leader)

    async def end(self) -> None:
        """The leader is ended in order."""
        leader, other = await self._roles()
        began = clock.timestamp()
        leader.send(signal.SIGTERM)
        await self._takes_over("ordered ends", other, began)
        await self._ends(leader)
        await self._back(leader)

    async def no_database(self) -> None:
        """The database is killed or frozen; no instance may trade for long."""
        cluster = self.pair.cluster
        seconds = self.random.uniform(2, 25)
        if self.random.random() < 0.5:
            await asyncio.to_thread(cluster.stop, "immediate")
            await self._quiet_after(seconds)
            await asyncio.to_thread(cluster.start)
            self.done["database stops"] += 1
        else:
            cluster.pause()
            await self._quiet_after(seconds)
            cluster.resume()
            self.done["database freezes"] += 1
        before = len(await self.pair.orders())

        async def trades() -> bool:
            return len(await self.pair.orders()) > before

        await until(trades, within=WITHIN, what="an instance trades again")

    async def settle(self) -> None:
        """In the end records and venue agree to the last digit."""
        deadline = clock.monotonic() + WITHIN
        while True:
            there = await self.pair.world.balances()
            ours = {name: type(there["USD"])(amount) for name, amount in self.pair.rows(LEDGER)}
            if all(there[name] == amount for name, amount in ours.items() if name in there):
                return
            if clock.monotonic() > deadline:
                self.problems.append(f"records {ours}, venue {there}")
                return
            await asyncio.sleep(0.2)

    async def _quiet_after(self, seconds: float) -> None:
        """Wait, and see that nothing is sent once no lease can stand any more."""
        began = clock.timestamp()
        await asyncio.sleep(seconds)
        late = [order for order in await self.pair.orders() if order["time"] > began + 15]
        self.problems += [f"order {order['order']} without any lease" for order in late]

    async def _roles(self) -> tuple[Instance, Instance]:
        """Return who leads and who watches, when that is settled."""
        leader: Instance = await until(self.pair.leader, within=WITHIN, what="a leader")
        other = self.pair.other(leader)
        if other.code is None and await self.pair.first_order_of(other.tag) is not None:
            await self._ends(other)  # it led before, and hears only now that it does no more
        if other.code is not None:
            await self._back(other)
        return leader, other

    async def _takes_over(self, kind: str, other: Instance, began: float) -> None:
        at = await until(
            lambda: self.pair.first_order_of(other.tag), within=WITHIN, what=f"{kind}: a takeover"
        )
        self.done[kind] += 1
        self.takeovers.setdefault(kind, []).append(at - began)
        say(f"{kind + ':':<22} {other.name} trades after {at - began:.1f} s")

    async def _thaw(self, old: Instance) -> None:
        old.send(signal.SIGCONT)
        self.done["thaws"] += 1
        if self.plant:
            await asyncio.sleep(5)
            self.problems += await self._overlaps()
            return
        await self._ends(old)
        await self._back(old)

    async def _ends(self, old: Instance) -> None:
        async def ended() -> bool:
            return old.code is not None

        await until(ended, within=WITHIN, what=f"{old.name} ends itself")
        self.done[f"ended with {old.code}"] += 1

    async def _back(self, instance: Instance) -> None:
        await asyncio.sleep(self.random.choice((0.0, 2.0)))
        await self._watching(self._start(instance))

    def _start(self, instance: Instance) -> Instance:
        instance.start(freeze=self.random.choice(FREEZE_PLACES), plant=self.plant)
        return instance

    async def _watching(self, instance: Instance) -> None:
        async def watches() -> bool:
            health = await instance.health()
            part = health.get("components", {}).get("leadership", {})
            return health.get("role") == "standby" and bool(part.get("up"))

        await until(watches, within=WITHIN, what=f"{instance.name} watches")

    async def _overlaps(self) -> list[str]:
        found = returned(await self.pair.orders())
        return [problem for problem in found if problem not in self.problems]


async def run(minutes: float, seed: int, *, plant: str) -> int:
    """Run the drill; return the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="trading-ops-bot-replicas-"))
    with Cluster() as cluster:
        pair, wires = await begin(folder / "world", cluster, lease=LEASE, seed=seed)
        drill = Drill(pair, random.Random(seed), plant)
        try:
            await drill.start_all()
            await drill.disturb(minutes * 60)
            await drill.settle()
            code = report(drill, await pair.orders())
        finally:
            await finish(pair, wires)
    if code == 0:
        shutil.rmtree(folder)
    else:
        say(f"kept for a look: {folder}")
    return code


def report(drill: Drill, orders: list[dict[str, object]]) -> int:
    """Print what happened; return the exit code."""
    for kind, count in sorted(drill.done.items()):
        say(f"{kind + ':':<22} {count}")
    overlaps = returned(orders)
    cores, load = os.cpu_count(), os.getloadavg()[1]
    say(f"{'load of the machine:':<22} {load:.1f} on {cores} cores")
    sudden = [
        seconds
        for kind, took in drill.takeovers.items()
        if "ordered" not in kind
        for seconds in took
    ]
    for kind, took in (("sudden", sudden), ("ordered", drill.takeovers.get("ordered ends", []))):
        if took:
            times = f"p50 {statistics.median(took):.1f} s, max {max(took):.1f} s"
            say(f"{'takeovers, ' + kind + ':':<22} {len(took)}, {times}")
    say(f"{'orders:':<22} {len(orders)}, of {len({tag_of(order) for order in orders})} runs")
    say(f"{'overlaps:':<22} {len(overlaps)}")
    other = [problem for problem in drill.problems if problem not in overlaps]
    say(f"{'other problems:':<22} {len(other)}")
    for sentence in (overlaps + other)[:10]:
        say(f"    {sentence}")
    slowest = max((seconds for took in drill.takeovers.values() for seconds in took), default=0.0)
    if slowest > TAKEOVER_PROMISED:
        say(f"a takeover took longer than {TAKEOVER_PROMISED:g} s")
    if not drill.done["freezes at a place"]:
        say("no bot was frozen before an order left: the case that counts did not occur")
    good = not overlaps and not other and 0 < slowest <= TAKEOVER_PROMISED
    return 0 if good and drill.done["freezes at a place"] else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.crash.bot_replicas", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 20))
    parser.add_argument("--plant", choices=PLANTED, default="", help="break a promise on purpose")
    given = parser.parse_args()
    say(f"seed {given.seed}")
    sys.exit(asyncio.run(run(given.minutes, given.seed, plant=given.plant)))
