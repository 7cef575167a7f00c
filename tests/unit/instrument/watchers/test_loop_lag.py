"""Lag is reported while the loop is stuck, as a distribution and a maximum."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable

import pytest

from trading_ops.instrument import BotMetrics
from trading_ops.instrument.watchers.loop_lag import LoopLag, Worst

Value = Callable[..., float | None]

GAUGE = "trading_event_loop_lag_seconds"
WORST = "trading_event_loop_worst_delay_seconds"
COUNT = "trading_event_loop_delay_seconds_count"


def turn(loop: asyncio.AbstractEventLoop) -> None:
    """Return when the loop has done what was asked of it before."""

    async def nothing() -> None:
        pass

    asyncio.run_coroutine_threadsafe(nothing(), loop).result(10)


def hold_the_loop(release: threading.Event, entered: threading.Event) -> None:
    entered.set()
    release.wait(20)


def test_free_loop_answers_each_question(
    loop: asyncio.AbstractEventLoop, metrics: BotMetrics, value: Value
) -> None:
    lag = LoopLag(metrics, loop)
    for _ in range(3):
        lag.check(time.monotonic())
        turn(loop)
    assert value(COUNT) == 3
    worst, last = value(WORST), value(GAUGE)
    assert worst is not None
    assert last is not None
    assert 0 < last <= worst < 5


def test_stuck_loop_is_reported_while_it_is_stuck(
    loop: asyncio.AbstractEventLoop,
    metrics: BotMetrics,
    value: Value,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The gauge grows before the loop is free; the log says, once, where its thread is."""
    lag = LoopLag(metrics, loop)
    lag.check(time.monotonic())
    turn(loop)
    release, entered = threading.Event(), threading.Event()
    loop.call_soon_threadsafe(hold_the_loop, release, entered)
    assert entered.wait(60)
    now = time.monotonic()
    lag.check(now)
    with caplog.at_level(logging.WARNING):
        for waited in (1.0, 3.0, 7.0):
            lag.check(now + waited)
            assert value(GAUGE) == pytest.approx(waited)
            assert value(WORST) == pytest.approx(waited)
    assert value(COUNT) == 1
    assert [record.message for record in caplog.records if "hold_the_loop" in record.message]
    assert len(caplog.records) == 1
    release.set()
    turn(loop)
    assert value(COUNT) == 2
    after, worst = value(GAUGE), value(WORST)
    assert after is not None
    assert after < 7.0
    assert worst == pytest.approx(7.0)


def test_closed_loop_lags_no_more(metrics: BotMetrics, value: Value) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    lag = LoopLag(metrics, loop)
    for second in range(3):
        lag.check(float(second))
    assert (value(GAUGE), value(COUNT)) == (0, 0)


def test_thread_that_is_not_known_has_no_place(metrics: BotMetrics) -> None:
    """A loop that was stuck before the first probe is reported without one."""
    loop = asyncio.new_event_loop()
    assert LoopLag(metrics, loop)._place() == "unknown"
    loop.close()


def test_worst_is_kept_for_one_to_two_windows() -> None:
    worst = Worst(60.0)
    assert worst.add(5.0, 1000.0) == 5.0
    assert worst.add(1.0, 1059.0) == 5.0
    assert worst.add(2.0, 1061.0) == 5.0
    assert worst.add(1.0, 1119.0) == 5.0
    assert worst.add(1.0, 1122.0) == 2.0
    assert worst.add(0.5, 1300.0) == 0.5
