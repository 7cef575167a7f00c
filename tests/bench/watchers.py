"""What each watcher and `trace_memory` cost a bot. Run with `python -m tests.bench.watchers`.

Each watcher's look is timed on its own, in processor time, and given as a share of a core at its
default interval. Then all run together beside a loop that only waits, by turns with none of them:
the processor time of the whole process says what they cost in truth, wake-ups included.
"""

import asyncio
import gc
import statistics
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.bench.say import say
from trading_ops.agent.tracing import LIMIT_BYTES
from trading_ops.instrument import BotMetrics
from trading_ops.instrument.watchers import ALL, Progress, watchers_of
from trading_ops.instrument.watchers.garbage import Garbage
from trading_ops.instrument.watchers.loop_lag import LoopLag
from trading_ops.instrument.watchers.memory import Memory, read_uss
from trading_ops.instrument.watchers.part import Part
from trading_ops.instrument.watchers.stuck import Stuck
from trading_ops.instrument.watchers.tasks import TaskWatcher

ROUNDS = 4
ROUND_SECONDS = 4.0
WAITING = 100
"""Tasks of a bot that do nothing for now."""

PROGRESS = [
    Progress(component=name, limit_seconds=30.0, marker=time.monotonic)
    for name in ("feed", "broker", "signals", "orders", "store", "heartbeat")
]


def metrics() -> BotMetrics:
    """Return new ones: each watcher may be registered once."""
    return BotMetrics(version="1", mode="paper")


def seconds_of(work: Callable[[], object], times: int) -> float:
    """Return the median processor time of one call."""
    spent = []
    for _ in range(times):
        began = time.thread_time()
        work()
        spent.append(time.thread_time() - began)
    return statistics.median(spent)


def show(name: str, seconds: float, interval: float | None = None) -> None:
    """Print one line."""
    share = (
        "" if interval is None else f"every {interval:>5g} s: {seconds / interval:8.4%} of a core"
    )
    say(f"{name:<44}{seconds * 1e6:>10.1f} us  {share}")


def looks(name: str, part: Part, times: int = 200) -> None:
    """Time a watcher's looks, as if each was due."""
    now = time.monotonic()
    turns = iter(range(times + 1))
    show(
        name,
        seconds_of(lambda: part.check(now + next(turns) * part.interval_seconds), times),
        part.interval_seconds,
    )


@contextmanager
def waiting(count: int) -> Iterator[None]:
    """Let so many tasks of the running loop wait."""
    event = asyncio.Event()
    tasks = [asyncio.create_task(event.wait()) for _ in range(count)]
    yield
    for task in tasks:
        task.cancel()


async def each_alone() -> None:
    """Print a line for each watcher."""
    loop = asyncio.get_running_loop()
    say("one look of each watcher, processor time of its thread")
    lag = LoopLag(metrics(), loop)

    def ask() -> None:
        lag._sent_at = None
        lag.check(time.monotonic())

    show("loop_lag: ask", seconds_of(ask, 500), lag.interval_seconds)
    show("loop_lag: answer, in the loop", seconds_of(lambda: lag._answer(0.0), 500), 0.5)
    memory = Memory(metrics())
    looks(f"memory ({(read_uss() or 0) / 1e6:.0f} MB)", memory)
    for count in (WAITING, 10_000):
        with waiting(count):
            looks(f"tasks, {count}", TaskWatcher(metrics(), loop), times=30)
        await asyncio.sleep(0)
    looks("stuck, 6 components", Stuck(metrics(), PROGRESS))
    garbage = Garbage(metrics())
    info = {"generation": 0, "uncollectable": 0}

    def collected() -> None:
        garbage._collected("start", info)
        garbage._collected("stop", info)

    show("garbage: a collection's callbacks", seconds_of(collected, 1000))


async def idle(seconds: float) -> float:
    """Return the processor time that the process took each second."""
    began = time.process_time()
    await asyncio.sleep(seconds)
    return (time.process_time() - began) / seconds


async def all_together() -> None:
    """Print the processor time with all watchers and with none, by turns."""
    shares, without = [], []
    with waiting(WAITING):
        for _ in range(ROUNDS):
            without.append(await idle(ROUND_SECONDS))
            loop = asyncio.get_running_loop()
            watchers = watchers_of(metrics(), loop, on=ALL, progress=PROGRESS)
            watchers.start()
            await asyncio.sleep(0.1)  # the first looks are all at once, and no measure
            shares.append(await idle(ROUND_SECONDS))
            watchers.stop()
    await asyncio.sleep(0)
    cost = statistics.median(shares) - statistics.median(without)
    say(f"all together beside {WAITING} tasks: {cost:.3%} of a core")


def build() -> list[object]:
    """Allocate as a bot does."""
    return [{"price": index * 1.5, "symbol": str(index)} for index in range(20_000)]


async def tracing() -> None:
    """Print what tracing costs while it is on, and how long copying its records stalls others."""
    gc.disable()
    off = seconds_of(build, 15)
    tracemalloc.start()
    on = seconds_of(build, 15)
    kept = []
    while tracemalloc.get_tracemalloc_memory() < LIMIT_BYTES:
        kept.append(build())
    gc.enable()
    say(f"trace_memory: an allocation costs {on / off:.1f} times as much while it is on")
    gaps: list[float] = []
    stopping = threading.Event()

    def beat() -> None:
        last = time.monotonic()
        while not stopping.is_set():
            time.sleep(0.0005)
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    beating = threading.Thread(target=beat)
    beating.start()
    await asyncio.sleep(0.3)
    calm = max(gaps)
    snapshot = await asyncio.to_thread(tracemalloc.take_snapshot)
    stall = max(gaps)
    tracemalloc.stop()
    gaps.clear()
    await asyncio.to_thread(snapshot.compare_to, snapshot, "lineno")
    comparing = max(gaps)
    stopping.set()
    beating.join()
    say(
        f"at its limit of {LIMIT_BYTES >> 20} MiB of records ({len(snapshot.traces)} blocks) "
        f"another thread waits up to\n{stall * 1e3:.0f} ms for a copy, {comparing * 1e3:.0f} ms "
        f"for the comparison; {calm * 1e3:.1f} ms before"
    )
    del kept


async def main() -> None:
    """Print everything."""
    say(f"CPython {sys.version.split()[0]}, switch interval {sys.getswitchinterval() * 1e3:g} ms")
    await each_alone()
    await all_together()
    await tracing()


if __name__ == "__main__":
    asyncio.run(main())
