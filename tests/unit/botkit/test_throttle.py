"""The throttle: how long pauses become, and that the clock alone ends it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.botkit.manual_clock import Clock
from trading_ops.agent import BadRequest
from trading_ops.agent.attempts import current_attempt
from trading_ops.botkit.throttle import FACTOR, MAX_SECONDS, Throttle, throttle_commands
from trading_ops.instrument import BotMetrics

MAX_PAUSE = 5.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> BotMetrics:
    return BotMetrics(version="1", mode="paper")


@pytest.fixture
def throttle(metrics: BotMetrics, clock: Clock) -> Throttle:
    return Throttle(metrics, max_pause_seconds=MAX_PAUSE, monotonic=clock)


def pauses_gauge(metrics: BotMetrics) -> float | None:
    return metrics.registry.get_sample_value("trading_load_throttle_factor")


def test_it_ends_automatically(throttle: Throttle, clock: Clock, metrics: BotMetrics) -> None:
    """At its time, in the metric too; no one has to say so."""
    assert (throttle.pause(1.0), pauses_gauge(metrics)) == (1.0, 1)
    throttle.start(60)
    clock.now += 59.9
    assert (throttle.pause(1.0), pauses_gauge(metrics)) == (FACTOR, FACTOR)
    clock.now += 0.1
    assert (throttle.pause(1.0), pauses_gauge(metrics)) == (1.0, 1)


def test_twice_is_not_slower_and_never_shorter(throttle: Throttle, clock: Clock) -> None:
    """A second throttle does not stretch pauses further, and the later end counts."""
    throttle.start(60)
    throttle.start(10)
    clock.now += 30
    assert throttle.pause(1.0) == FACTOR
    throttle.start(60)
    clock.now += 59
    assert throttle.pause(1.0) == FACTOR
    clock.now += 1
    assert throttle.pause(1.0) == 1.0


@given(pause=st.floats(0.01, 100.0), longest=st.floats(0.1, 100.0), seconds=st.integers(0, 10))
def test_no_pause_is_shorter_than_it_was_nor_longer_than_the_bot_can_bear(
    pause: float, longest: float, seconds: int
) -> None:
    """Whatever is configured."""
    metrics = BotMetrics(version="1", mode="paper")
    throttle = Throttle(metrics, max_pause_seconds=longest, monotonic=Clock())
    throttle.start(seconds)
    assert pause <= throttle.pause(pause) <= max(pause, longest)
    assert throttle.pause(pause) <= pause * FACTOR


@pytest.mark.parametrize(
    "seconds", ["3601", "-1", "1.5", "1e3", "٣", " 60", "60 ", "00000060", "9" * 400, ""]
)
async def test_a_time_that_makes_no_sense_is_refused(throttle: Throttle, seconds: str) -> None:
    """No pause is stretched then."""
    command = throttle_commands(throttle)["throttle_load"]
    with pytest.raises(BadRequest, match=f"from 0 to {MAX_SECONDS}"):
        command.check({"seconds": seconds})
    assert throttle.factor == 1.0


async def test_zero_seconds_end_it_now(throttle: Throttle, metrics: BotMetrics) -> None:
    """However long it was asked for; and it can be asked again."""
    command = throttle_commands(throttle)["throttle_load"]
    throttle.start(3600)
    command.check({"seconds": "0"})
    assert await command.run({"seconds": "0"}) == "pauses have their normal length"
    assert (throttle.pause(1.0), pauses_gauge(metrics)) == (1.0, 1)
    throttle.start(60)
    assert throttle.pause(1.0) == FACTOR


async def test_the_answer_says_for_how_long(throttle: Throttle) -> None:
    """And by how much."""
    command = throttle_commands(throttle)["throttle_load"]
    command.check({"seconds": "3600"})
    assert "4 times as long for the next 3600 s" in await command.run({"seconds": "3600"})
    assert throttle.factor == FACTOR


async def test_undoing_an_attempt_leaves_what_others_started(
    throttle: Throttle, clock: Clock
) -> None:
    """An operator's own throttle lasts its time, also when it is the shorter one."""
    command = throttle_commands(throttle)["throttle_load"]
    for attempt, seconds in (("by-operator", "60"), ("by-runbook", "300")):
        set_again = current_attempt.set(attempt)
        await command.run({"seconds": seconds})
        current_attempt.reset(set_again)
    undo = {"seconds": "0", "undoes": "by-runbook"}
    command.check(undo)
    await command.run(undo)
    await command.run(undo)
    clock.now += 59
    assert throttle.factor == FACTOR
    clock.now += 1
    assert throttle.factor == 1.0


async def test_undoing_the_only_attempt_ends_the_throttling(throttle: Throttle) -> None:
    """One that is not known changes nothing."""
    throttle.start(60, attempt="a1")
    command = throttle_commands(throttle)["throttle_load"]
    await command.run({"seconds": "0", "undoes": "a2"})
    assert throttle.factor == FACTOR
    await command.run({"seconds": "0", "undoes": "a1"})
    assert throttle.factor == 1.0
