"""Fences stay within what executors take, whatever the database holds and executors say."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert

from tests.builders import NOW, make_attempt
from trading_ops.agent.fence import MAXIMUM_FENCE
from trading_ops.store import leases
from trading_ops.store.tables import fences

LARGEST_INTEGER = 2**63 - 1
NEAR = [
    edge + offset
    for edge in (0, leases.MOST_AHEAD, leases.MAXIMUM_FENCE, LARGEST_INTEGER)
    for offset in (-2, -1, 0, 1)
    if 0 <= edge + offset <= LARGEST_INTEGER
]
STORED = st.sampled_from(NEAR) | st.integers(0, LARGEST_INTEGER)
SEEN = STORED | st.integers(LARGEST_INTEGER, 2**80)


def test_agents_take_the_same_fences() -> None:
    assert leases.MAXIMUM_FENCE == MAXIMUM_FENCE


def hold(connection: Connection, fence: int) -> None:
    """Have the database hold a fence, as an older release or a hostile executor left it."""
    connection.execute(delete(fences).where(fences.c.target == "alpha"))
    connection.execute(insert(fences).values(target="alpha", fence=fence))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(stored=STORED, seen=st.lists(SEEN, max_size=5))
def test_a_fence_is_always_one_that_executors_take(
    connection: Connection, stored: int, seen: list[int]
) -> None:
    """It also rises with each attempt, but for the one restart above the maximum."""
    hold(connection, stored)
    before = stored if stored < leases.MAXIMUM_FENCE else 0
    for highest in seen:
        token = leases.raise_fence(connection, "alpha")
        assert before < token <= leases.MAXIMUM_FENCE or (before, token) == (
            leases.MAXIMUM_FENCE,
            1,
        )
        attempt = make_attempt(target="alpha", fence=token)
        adopted = leases.adopt_fence(connection, attempt, highest, now=NOW)
        before = highest if adopted else token
        assert before <= leases.MAXIMUM_FENCE
    assert 1 <= leases.raise_fence(connection, "alpha") <= leases.MAXIMUM_FENCE


@pytest.mark.parametrize("stored", [leases.MAXIMUM_FENCE, LARGEST_INTEGER])
def test_a_database_at_the_end_finds_its_executors_fence_again(
    connection: Connection, stored: int
) -> None:
    """The executor never took the impossible fence, so its own is adopted."""
    hold(connection, stored)
    token = leases.raise_fence(connection, "alpha")
    attempt: Any = make_attempt(target="alpha", fence=token)
    assert leases.adopt_fence(connection, attempt, 57, now=NOW)
    assert leases.raise_fence(connection, "alpha") == 58
