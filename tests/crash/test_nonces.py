"""A slice of `python -m tests.crash.nonces`, and the proof that it can fail."""

import pytest

from tests.crash.nonces import PLANTED, prove

pytestmark = pytest.mark.slow

KILLS = 12


@pytest.mark.parametrize("design", ["owner", "shared"])
def test_no_kill_makes_a_nonce_go_back(design: str) -> None:
    """Four processes of one key, killed at random, with clocks that are hours off."""
    found = prove(design, KILLS, seed=5)
    assert found.well, found
    assert found.kills >= KILLS
    assert found.nonces > KILLS


@pytest.mark.parametrize("design", PLANTED)
def test_a_wrong_issuer_is_found(design: str) -> None:
    """A block for each process is not an order, and a clock alone is none after a restart."""
    found = prove(design, KILLS, seed=5)
    assert found.disorders > 0, found
