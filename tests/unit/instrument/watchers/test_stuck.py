"""A component that has work and does not get on is stuck; one without work is not."""

import logging
from collections.abc import Callable

import pytest

from trading_ops.instrument import BotMetrics
from trading_ops.instrument.watchers import Progress
from trading_ops.instrument.watchers.stuck import Stuck

Value = Callable[..., float | None]


class Part:
    """A component as the watch sees it."""

    def __init__(self) -> None:
        self.done = 0
        self.queue = 1

    def progress(self, component: str) -> Progress:
        return Progress(
            component=component,
            limit_seconds=10.0,
            marker=lambda: self.done,
            has_work=lambda: self.queue > 0,
        )


def test_no_progress_within_the_limit_is_stuck(
    metrics: BotMetrics, value: Value, caplog: pytest.LogCaptureFixture
) -> None:
    feed, broker = Part(), Part()
    stuck = Stuck(metrics, [feed.progress("feed"), broker.progress("broker")])
    seen = []
    with caplog.at_level(logging.WARNING):
        for second in range(20):
            broker.done += 1
            if second == 15:
                feed.done += 1
            stuck.check(100.0 + second)
            seen.append(value("trading_component_stuck", component="feed"))
            assert value("trading_component_stuck", component="broker") == 0
    assert seen == [0] * 11 + [1] * 4 + [0] * 5
    assert value("trading_component_progress_age_seconds", component="feed") == 4
    assert [record.message for record in caplog.records] == [
        "component_stuck component=feed",
        "component_moves_again component=feed",
    ]


def test_to_have_no_work_is_not_to_be_stuck(metrics: BotMetrics, value: Value) -> None:
    """Its time starts when work comes."""
    part = Part()
    stuck = Stuck(metrics, [part.progress("orders")])
    part.queue = 0
    for second in (0.0, 50.0, 100.0):
        stuck.check(second)
        assert value("trading_component_stuck", component="orders") == 0
    part.queue = 3
    stuck.check(110.0)
    assert value("trading_component_stuck", component="orders") == 0
    stuck.check(110.5)
    assert value("trading_component_stuck", component="orders") == 1


def test_marker_that_raises_makes_no_progress_and_hides_no_other(
    metrics: BotMetrics, value: Value, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> object:
        raise KeyError("gone")

    part = Part()
    stuck = Stuck(
        metrics,
        [Progress(component="feed", limit_seconds=5.0, marker=broken), part.progress("broker")],
    )
    with caplog.at_level(logging.ERROR):
        for second in range(8):
            part.done += 1
            stuck.check(float(second))
    assert value("trading_component_stuck", component="feed") == 1
    assert value("trading_component_stuck", component="broker") == 0
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


def test_contradictory_setup_is_refused(metrics: BotMetrics) -> None:
    part = Part()
    with pytest.raises(ValueError, match="once"):
        Stuck(metrics, [part.progress("feed"), part.progress("feed")])
    with pytest.raises(ValueError, match="above zero"):
        Stuck(metrics, [Progress(component="a", limit_seconds=0.0, marker=lambda: 1)])
