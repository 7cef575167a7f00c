"""The breaker, as a table of what happens to it."""

import itertools

import pytest

from tests.unit.botkit.manual_clock import Clock
from trading_ops.botkit.circuit_breaker import BreakerState, CircuitBreaker


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("f", "closed"),
        ("ff", "open"),
        ("fsf", "closed"),
        ("ff a", "open"),
        ("ff + a", "half_open"),
        ("ff + a s", "closed"),
        ("ff + a f", "open"),
        ("ff + a f a", "open"),
        ("ff r a", "half_open"),
        ("ff + a r a", "half_open"),
        ("f r", "closed"),
        ("ff + a s f", "closed"),
    ],
)
def test_breaker(steps: str, expected: str) -> None:
    """f fails, s succeeds, a asks, r resets, + lets the cool-off pass."""
    clock = Clock()
    seen: list[BreakerState] = []
    breaker = CircuitBreaker(
        threshold=2, cool_off_seconds=5, on_change=seen.append, monotonic=clock
    )
    for step in steps.replace(" ", ""):
        match step:
            case "f":
                breaker.fail()
            case "s":
                breaker.succeed()
            case "a":
                breaker.allow()
            case "r":
                breaker.reset()
            case _:
                clock.now += 5
    assert breaker.state.name.lower() == expected
    assert seen[-1:] == ([breaker.state] if seen else [])
    assert all(before is not after for before, after in itertools.pairwise(seen))


def test_breaker_lets_one_trial_through() -> None:
    """After the cool-off exactly one caller may try."""
    clock = Clock()
    breaker = CircuitBreaker(threshold=1, cool_off_seconds=5, monotonic=clock)
    breaker.fail()
    assert (breaker.allow(), breaker.seconds_until_trial()) == (False, 5)
    clock.now += 5
    assert [breaker.allow() for _ in range(3)] == [True, False, False]
    assert breaker.seconds_until_trial() == 0
