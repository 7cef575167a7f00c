"""A hold's states, from careful to still."""

from trading_ops.domain.hold import HeldState


def test_the_more_a_state_forbids_the_higher_is_its_rank() -> None:
    """Of several holds the highest wins."""
    assert HeldState.REDUCING.severity < HeldState.HALTED.severity
    assert max(HeldState, key=lambda state: state.severity) is HeldState.HALTED
