"""No event is lost between threads and coroutines, and the storm would tell if one were."""

import pytest

from tests.unit.instrument.storm import KINDS, Storm, WaitingCounter


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost(kind: str) -> None:
    """Every event of half a million is counted once. `make bench` has ten million."""
    assert KINDS[kind](Storm(), 500_000) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_lossy_recorder_is_found(kind: str) -> None:
    """A counter that reads, lets others work and writes back is not taken for a good one."""
    assert KINDS[kind](Storm(WaitingCounter()), 20_000) > 0
