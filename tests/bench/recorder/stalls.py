"""How long a scrape keeps an event loop from its work."""

import asyncio
import gc
import statistics
import threading
import time
from collections.abc import Callable, Coroutine

from prometheus_client import generate_latest

from tests.bench.recorder.registries import Pair
from tests.bench.recorder.scrapes import SIZES, all_pairs
from tests.bench.say import say
from trading_ops.instrument import Exposition, View

LARGE = 100_000
LIMIT_SECONDS = 0.005
FRACTION = 100.0
BEAT_SECONDS = 0.001
ROUNDS = 5

Scrape = Callable[[], Coroutine[None, None, object]]


def stalls() -> None:
    """Print the longest wait of a loop during a scrape of which every number has changed."""
    say(
        f"the longest wait of an event loop during a scrape: milliseconds, median of {ROUNDS}; all"
        " numbers have changed, a beat each ms; CPU: of the longest turn of ours sliced, which the"
        " machine's other work does not lengthen"
    )
    say(
        f"  {'lines':<20} {'CPU':>10} {'ours sliced':>12} {'ours inline':>12} {'agent thread':>13} "
        f"{'theirs inline':>14} {'theirs thread':>14} {'no scrape':>10}"
    )
    for kind, _, both in all_pairs((*SIZES, LARGE)):
        exposition = Exposition(both.ours)
        lines = exposition.everything()[0].count(b"\n")
        worst = [asyncio.run(_stall(way, both)) for way in _ways(both, exposition)]
        sliced, ours, agent, theirs, thread, idle = (f"{stall * 1e3:.1f}" for stall in worst)
        own = asyncio.run(_longest_turn(exposition, both))
        say(
            f"  {lines:>7} {kind:<12} {own * 1e3:>10.1f} {sliced:>12} {ours:>12} {agent:>13} "
            f"{theirs:>14} {thread:>14} {idle:>10}" + _judged(lines, own, worst[0], worst[3])
        )


def _judged(lines: int, own: float, sliced: float, theirs: float) -> str:
    if lines < LARGE * 0.9:
        return ""
    ratio = theirs / sliced
    turn, beat, fraction = (
        "met" if kept else "MISSED"
        for kept in (own <= LIMIT_SECONDS, sliced <= LIMIT_SECONDS, ratio >= FRACTION)
    )
    return (
        f"   goal {LIMIT_SECONDS * 1e3:.0f} ms: of CPU {turn}, as a beat sees it {beat};"
        f" 1/{ratio:.0f} of theirs inline, goal 1/{FRACTION:.0f} {fraction}"
    )


def _ways(both: Pair, exposition: Exposition) -> list[Scrape]:
    """Return the ways to scrape in the order in which they are printed; last none, for the noise.

    Without any scrape the loop waits for what else the machine does.
    """

    async def sliced() -> object:
        return await exposition.sliced(View.EVERYTHING)

    async def inline() -> object:
        return exposition.everything()

    async def agent() -> object:
        # A loop of its own in a thread of its own.
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def run() -> None:
            asyncio.run(exposition.sliced(View.EVERYTHING))
            loop.call_soon_threadsafe(done.set)

        threading.Thread(target=run).start()
        return await done.wait()

    async def theirs_inline() -> object:
        return generate_latest(both.theirs)

    async def thread() -> object:
        return await asyncio.to_thread(generate_latest, both.theirs)

    async def idle() -> None:
        await asyncio.sleep(0.1)

    return [sliced, inline, agent, theirs_inline, thread, idle]


async def _stall(scrape: Scrape, both: Pair) -> float:
    """Return the median over some scrapes of the longest time that the loop kept a beat waiting."""
    longest = []
    for _ in range(ROUNDS):
        both.stir(1.0)
        gc.collect()
        worst = 0.0
        done = asyncio.create_task(scrape())
        while not done.done():
            began = time.perf_counter()
            await asyncio.sleep(BEAT_SECONDS)
            worst = max(worst, time.perf_counter() - began - BEAT_SECONDS)
        longest.append(worst)
    return statistics.median(longest)


async def _longest_turn(exposition: Exposition, both: Pair) -> float:
    """Return the median over some scrapes of the longest CPU time between two turns of others."""
    longest = []
    for _ in range(ROUNDS):
        both.stir(1.0)
        gc.collect()
        worst = 0.0
        done = asyncio.create_task(exposition.sliced(View.EVERYTHING))
        began = time.thread_time()
        while not done.done():
            await asyncio.sleep(0)
            now = time.thread_time()
            worst, began = max(worst, now - began), now
        longest.append(worst)
    return statistics.median(longest)
