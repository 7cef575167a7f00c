"""Notices are shown for their time, and never more than the limit at once."""

import pytest

from tests.builders import make_target
from trading_ops.domain.target import Kind
from trading_ops.reconciler.metrics import MOST, SHOWN_SECONDS, Notices, ReconcilerMetrics

ALPHA = make_target(name="alpha", venue="paper")
PAPER = make_target(name="paper", kind=Kind.VENUE, venue=None, service=None)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def metrics() -> ReconcilerMetrics:
    return ReconcilerMetrics()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notices(metrics: ReconcilerMetrics, clock: Clock) -> Notices:
    return Notices(metrics, monotonic=clock)


def shown(metrics: ReconcilerMetrics) -> set[tuple[str, ...]]:
    names = ("target", "bot", "venue", "message")
    return {
        tuple(sample.labels[name] for name in names)
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "trading_ops_notice" and sample.value == 1
    }


async def test_it_names_the_target_and_ends(
    notices: Notices, metrics: ReconcilerMetrics, clock: Clock
) -> None:
    """A bot by its own label, a venue by its own; said again, the later end stands."""
    assert notices.show(ALPHA, "look")
    assert notices.show(PAPER, "closed")
    assert shown(metrics) == {("alpha", "alpha", "paper", "look"), ("paper", "", "paper", "closed")}
    clock.now += SHOWN_SECONDS / 2
    assert notices.show(ALPHA, "look")
    clock.now += SHOWN_SECONDS / 2
    notices.end_old()
    assert shown(metrics) == {("alpha", "alpha", "paper", "look")}
    clock.now += SHOWN_SECONDS / 2
    notices.end_old()
    assert shown(metrics) == set()


async def test_a_flood_is_refused_and_leaves_what_is_shown(
    notices: Notices, metrics: ReconcilerMetrics, clock: Clock
) -> None:
    """There is room again when their time is over; what is shown already may be said again."""
    assert all(notices.show(ALPHA, f"number {number}") for number in range(MOST))
    assert not notices.show(ALPHA, "one more")
    assert notices.show(ALPHA, "number 0")
    assert len(shown(metrics)) == MOST
    clock.now += SHOWN_SECONDS
    assert notices.show(ALPHA, "one more")
    assert shown(metrics) == {("alpha", "alpha", "paper", "one more")}
