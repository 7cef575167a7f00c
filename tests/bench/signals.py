"""A pass beside a sick model: how long it waits for signals. Run `python -m tests.bench.signals`.

Passes as the bot makes them, by the real component with the real model's process and each of its
faults: the time from asking for signals to having targets. Goal: p99 within the budget, 25 ms and
the p99 of the strategy alone.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.bench.say import p50_p99, say
from trading_ops import clock, logs
from trading_ops.botkit.orders.market import Quote
from trading_ops.botkit.records.events import Event
from trading_ops.botkit.supervisor import Supervisor
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.signals.advice import Advice
from trading_ops_lab.paper.bot.signals.component import Signals
from trading_ops_lab.paper.bot.signals.faults import ModelFault, break_model
from trading_ops_lab.paper.bot.signals.model import MODEL, ModelProcess
from trading_ops_lab.paper.bot.signals.settings import SignalSettings

SYMBOLS = ("BTC/USD", "ETH/USD")
SETTINGS = SignalSettings()
PASSES = 150
INTERVAL_SECONDS = 0.05
GOAL_SECONDS = SETTINGS.budget_seconds + 0.025
"""Beside what the strategy alone takes on this machine."""

CASES: dict[str, tuple[ModelFault, float] | None] = {
    "the strategy alone": None,
    "a model that is well": None,
    "a model that takes 30 ms": (ModelFault.SLOW, 0.03),
    "a model that takes 400 ms": (ModelFault.SLOW, 0.4),
    "a model that hangs": (ModelFault.HANG, 0),
    "a model that dies when asked": (ModelFault.CRASH, 0),
    "a model that answers nonsense": (ModelFault.GARBAGE, 0),
}


async def measure(case: str, folder: Path) -> tuple[list[float], float]:
    """Return the seconds of each pass after the fault began, and by the model how many went."""
    metrics = BotMetrics(version="1", mode="paper", symbols=SYMBOLS)
    advice = None
    if case != "the strategy alone":
        source = ModelProcess(folder, seed=7)
        advice = Advice(source, metrics, SETTINGS, record=_forget)
    signals = Signals(metrics, symbols=SYMBOLS, fast=2, slow=5, advice=advice)
    supervisor = Supervisor([signals])
    supervisor.start()

    async def one_pass() -> float:
        quotes = {name: Quote(bid=1, ask=1, at=clock.timestamp()) for name in SYMBOLS}  # type: ignore[arg-type]
        began = clock.monotonic()
        await signals.ask(quotes, within=10)
        return clock.monotonic() - began

    while advice is not None and MODEL not in {s.source for s in signals.decided.values()}:
        await one_pass()
        await asyncio.sleep(INTERVAL_SECONDS)
    if (fault := CASES[case]) is not None:
        break_model(folder, *fault)
    seconds, by_model = [], 0
    for _ in range(PASSES):
        seconds.append(await one_pass())
        by_model += MODEL in {signal.source for signal in signals.decided.values()}
        await asyncio.sleep(INTERVAL_SECONDS)
    await supervisor.stop()
    return seconds, by_model / PASSES


async def _forget(_event: Event) -> None:
    pass


def main() -> int:
    """Measure and print; 1 when a goal is missed."""
    logs.configure("bench", level="CRITICAL")
    missed, alone = False, 0.0
    say(f"Signals of {len(SYMBOLS)} symbols, {PASSES} passes each, {INTERVAL_SECONDS:g} s apart")
    say(f"{'':32}{'p50 ms':>8}{'p99 ms':>8}{'worst ms':>9}  by the model")
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            seconds, share = asyncio.run(measure(case, Path(folder)))
        p50, p99 = p50_p99(seconds)
        alone = alone or p99
        missed |= p99 > GOAL_SECONDS * 1000 + alone
        say(f"{case:32}{p50:8.1f}{p99:8.1f}{max(seconds) * 1000:9.1f}{share:10.0%}")
    verdict = "missed" if missed else "met"
    say(f"Goal: p99 within {GOAL_SECONDS * 1000:g} ms and that of the strategy alone: {verdict}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
