"""How long an agent has been silent: our own delays are no part of that."""

from tests.builders import make_registry
from trading_ops.holds.agent_probe import MISSES, ProbeState


def pulse_at(moment: float) -> ProbeState:
    target = make_registry().find("alpha")
    assert target is not None
    return ProbeState(target=target, quiet_from=moment)


def test_our_own_delay_begins_the_silence_again() -> None:
    """Neither the seconds before it count nor the questions that were not answered."""
    probe = pulse_at(10.0)
    probe.misses = MISSES - 1
    asked_in = probe.epoch
    probe.restart_timer(70.0)
    assert (probe.quiet_from, probe.misses) == (70.0, 0)
    assert probe.epoch != asked_in  # what was asked before it says nothing any more


def test_stops_are_counted_within_their_window() -> None:
    """One that is older than the budget's hour is forgotten."""
    probe = pulse_at(0.0)
    probe.stops = [100.0, 2000.0, 4000.0]
    assert probe.stops_since(4000.0 - 3600.0) == 2
    assert probe.stops_since(4000.0) == 0
