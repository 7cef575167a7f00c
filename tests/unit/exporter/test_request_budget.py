"""However often messages come, what they cost a Freqtrade is bounded. A slow machine is later."""

import asyncio

import pytest

from trading_ops import clock
from trading_ops.exporter.freqtrade.reading import EndpointReading
from trading_ops.exporter.freqtrade.triggered import RequestBudget, TriggeredReading

RATE, BURST = 200.0, 12


@pytest.mark.parametrize("requests", [1, 5, BURST])
async def test_the_budget_is_never_exceeded(requests: int) -> None:
    budget, moments = RequestBudget(RATE, BURST), list[float]()
    began = clock.monotonic()

    async def ask() -> None:
        await budget.turn(requests)
        moments.append(clock.monotonic() - began)

    await asyncio.gather(*(ask() for _ in range(40)))
    for number, moment in enumerate(sorted(moments), start=1):
        assert number * requests <= BURST + moment * RATE + 1e-6


async def test_without_a_turn_a_message_changes_nothing() -> None:
    """The next reading comes at the end of its interval, neither sooner nor never."""
    moments, interval = list[float](), 1.5
    twice = asyncio.Event()

    async def ask() -> int:
        moments.append(clock.monotonic())
        if len(moments) > 1:
            twice.set()
        return 1

    reading = EndpointReading(
        "freqtrade:freq:count", ask, interval_seconds=interval, timeout_seconds=1
    )
    spent = RequestBudget(per_second=1e-6, burst=1)
    await spent.turn()
    prompt = TriggeredReading(reading, spent)
    running = asyncio.create_task(prompt.run())
    try:
        async with asyncio.timeout(60):
            while not twice.is_set():
                prompt.trigger()
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.wait({running})
    assert moments[1] - moments[0] >= interval
