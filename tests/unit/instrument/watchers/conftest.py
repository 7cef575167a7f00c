"""A loop in a thread of its own, which a test can block, and what the watchers recorded."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from trading_ops.instrument import BotMetrics


@pytest.fixture
def metrics() -> BotMetrics:
    return BotMetrics(version="1", mode="paper")


@pytest.fixture
def value(metrics: BotMetrics) -> Callable[..., float | None]:
    """Return what is exported: None for what is absent."""
    return lambda name, **labels: metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
