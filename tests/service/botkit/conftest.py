"""Helpers of tests that use botkit without a bot: metrics, and waiting for a condition."""

import asyncio
from collections.abc import Callable

import pytest

from tests.waiting import PATIENCE
from trading_ops import clock
from trading_ops.instrument import BotMetrics

POLL_SECONDS = 0.05
SYMBOL = "BTC/USD"


def sample(metrics: BotMetrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def metrics() -> BotMetrics:
    return BotMetrics(version="1", mode="paper", symbols=[SYMBOL])


async def until(condition: Callable[[], object], *, within: float = 15.0) -> None:
    """Wait for something that another process or thread does; fail when it does not."""
    deadline = clock.monotonic() + within * PATIENCE
    while not condition():
        assert clock.monotonic() < deadline, f"not within {within * PATIENCE:g} s"
        await asyncio.sleep(POLL_SECONDS)


async def stays(condition: Callable[[], object], *, during: float) -> None:
    """Assert that a condition holds all the time."""
    deadline = clock.monotonic() + during
    while clock.monotonic() < deadline:
        assert condition()
        await asyncio.sleep(POLL_SECONDS)
