"""A tick through the real bot: until a target stands, and what a million of them leave in memory.

The bot is connected to a venue and lives as it does in production; the ticks are messages as the
venue sends them, given to the feed's own reader. A decision is the target of each symbol, computed
by the signals' own task: in production it comes with the next pass, so up to a pass later. In turns
with them a loop counts for about as long: its p99 is what the machine alone takes away.
`python -m tests.bench.bot_ticks`.
"""

import asyncio
import itertools
import os
import statistics
import sys
import time
from dataclasses import dataclass, field

from tests.bench.bot_rig import bot_at_a_venue
from tests.bench.say import p50_p99, say
from tests.crash.soak_gauges import memory_of
from trading_ops.instrument.watchers.memory_trend import Blocks, MemorySample
from trading_ops_lab.paper.bot.bot import Bot

DECISIONS = 5_000
ROUNDS = 5
TICKS = 1_000_000
READINGS = 40
SLICE = 500
"""Ticks between two turns of the event loop, where everything else of the bot goes on."""

NOTHING = 2_000
"""Steps of a loop that takes about as long as a decision."""

GOAL_DECISION_P99_MS = 5.0
GOAL_PROCESSOR_P99_MS = 1.0
GOAL_MEMORY_MB = 200.0
GOAL_A_TICK_BYTES = 1.0
MESSAGE = (
    '{"channel":"ticker","type":"update","data":[{"symbol":"%s","bid":%s,"bid_qty":1.5,"ask":%s,'
    '"ask_qty":0.7,"last":%s,"volume":812.5,"vwap":%s,"low":%s,"high":%s,"change":-1.5,'
    '"change_pct":-0.1,"timestamp":"%s"}]}'
)


def messages() -> list[str]:
    """Return a thousand messages, of both symbols."""
    rows, stamp = [], time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    for number in range(500):
        for symbol, price in (("BTC/USD", 60_000 + number / 10), ("ETH/USD", 3_000 + number / 100)):
            bid, ask = f"{price:.2f}", f"{price + 0.5:.2f}"
            rows.append(MESSAGE % (symbol, bid, ask, bid, bid, bid, ask, stamp))
    return rows


@dataclass
class Times:
    """Seconds of each decision, and of as many like nothing in turns with them."""

    decisions: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    nothing: list[float] = field(default_factory=list)


async def decide(bot: Bot, texts: list[str]) -> Times:
    """Take the time from each tick's arrival to the targets that follow from it."""
    times = Times()
    for text in itertools.islice(itertools.cycle(texts), DECISIONS):
        processor, began = time.thread_time(), time.perf_counter()
        bot.feed._receive(text)
        await bot.signals.ask(bot.feed.quotes, within=5)
        times.decisions.append(time.perf_counter() - began)
        times.processor.append(time.thread_time() - processor)
        began = time.perf_counter()
        for _ in range(NOTHING):
            pass
        times.nothing.append(time.perf_counter() - began)
    return times


async def swallow(bot: Bot, texts: list[str]) -> tuple[list[MemorySample], float]:
    """Give it a million ticks; return its memory by the number of ticks, and ticks a second."""
    pid, readings, spent = os.getpid(), [], 0.0
    source = itertools.cycle(texts)
    for number in range(TICKS // SLICE):
        if number % (TICKS // SLICE // READINGS) == 0:
            readings.append(MemorySample(number * SLICE, memory_of(pid)[0]))
        began = time.perf_counter()
        for text in itertools.islice(source, SLICE):
            bot.feed._receive(text)
        spent += time.perf_counter() - began
        await asyncio.sleep(0)
    readings.append(MemorySample(TICKS, memory_of(pid)[0]))
    return readings, TICKS / spent


async def main() -> int:
    """Print both, and the goals."""
    texts = messages()
    async with bot_at_a_venue() as (bot, _world):
        at_first = memory_of(os.getpid())[0]
        rounds = [await decide(bot, texts) for _ in range(ROUNDS)]
        readings, rate = await swallow(bot, texts)
    show_decisions(rounds)
    show_memory(at_first, readings, rate)
    return 0


def show_decisions(rounds: list[Times]) -> None:
    """Print the medians of the rounds."""
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    say(f"tick → decision, {ROUNDS} rounds of {DECISIONS:,}, load a core {load:.1f}")
    rows = {
        "arrival → targets": [p50_p99(measured.decisions) for measured in rounds],
        "processor time of it": [p50_p99(measured.processor) for measured in rounds],
        "counting to some number, in turns": [p50_p99(measured.nothing) for measured in rounds],
    }
    for name, samples in rows.items():
        p50, p99 = (statistics.median(column) for column in zip(*samples, strict=True))
        say(f"  {name:<36} p50 {p50:6.3f} ms   p99 {p99:6.3f} ms")
    whole, processor, nothing = (
        statistics.median(p99 for _, p99 in samples) for samples in rows.values()
    )
    _goal("tick → decision p99, above counting's", whole - nothing, GOAL_DECISION_P99_MS, "ms")
    _goal("processor time p99", processor, GOAL_PROCESSOR_P99_MS, "ms")


def show_memory(at_first: float, readings: list[MemorySample], rate: float) -> None:
    """Print the memory, and what a tick leaves: the slope of the second half."""
    slope = Blocks(readings[len(readings) // 2 :]).slope
    last, most = readings[-1].size / 1e6, max(reading.size for reading in readings) / 1e6
    say(f"memory of the bot (RSS, bench included): {at_first / 1e6:.1f} MB when it began to trade,")
    say(f"  {last:.1f} MB after {TICKS:,} ticks ({rate:,.0f} a second), most {most:.1f} MB,")
    say(f"  {slope:+.3f} bytes a tick over the second half (Theil-Sen)")
    _goal("memory at the start", at_first / 1e6, GOAL_MEMORY_MB, "MB")
    _goal(f"memory after {TICKS:,} ticks", last, GOAL_MEMORY_MB, "MB")
    _goal("memory a tick", slope, GOAL_A_TICK_BYTES, "bytes")


def _goal(name: str, measured: float, goal: float, unit: str) -> None:
    verdict = "met" if measured <= goal else "MISSED"
    say(f"goal: {name} <= {goal:g} {unit}: {measured:.2f}: {verdict}")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
