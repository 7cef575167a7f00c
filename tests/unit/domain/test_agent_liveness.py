"""What a silence means: as a table, and with what must hold for every silence."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_ops.domain.agent_liveness import (
    AgentEvidence,
    LivenessLimits,
    LivenessVerdict,
    PortOwner,
    ProcessMatch,
    classify,
)

MUTE = AgentEvidence(
    unanswered_for=7.0, life=ProcessMatch.SAME, listener=PortOwner.OWN, halt_requested=True
)
"""Alive, and nothing shows that it works: the process is stopped."""


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, LivenessVerdict.STOP),
        ({"listener": PortOwner.UNKNOWN}, LivenessVerdict.STOP),
        ({"unanswered_for": 5.9}, LivenessVerdict.WAIT),
        ({"life": ProcessMatch.UNKNOWN}, LivenessVerdict.WAIT),
        ({"halt_requested": False}, LivenessVerdict.HALT),
        ({"halt_requested": False, "life": ProcessMatch.UNKNOWN}, LivenessVerdict.HALT),
        ({"halt_in_force": True}, LivenessVerdict.HALTED),
        ({"life": ProcessMatch.GONE}, LivenessVerdict.GONE),
        ({"life": ProcessMatch.OTHER, "starting_for": 119.0}, LivenessVerdict.STARTING),
        ({"life": ProcessMatch.OTHER, "starting_for": 120.0}, LivenessVerdict.STOP),
        ({"life": ProcessMatch.OTHER, "starting_for": 120.0, "stops": 3}, LivenessVerdict.SPENT),
        ({"stops": 2}, LivenessVerdict.STOP),
        ({"stops": 3}, LivenessVerdict.SPENT),
        ({"cut": True}, LivenessVerdict.OVERLOADED),
        ({"cut": True, "life": ProcessMatch.GONE}, LivenessVerdict.GONE),
        ({"listener": PortOwner.FOREIGN}, LivenessVerdict.IMPOSTOR),
        ({"heartbeat_age": 0.5}, LivenessVerdict.WORKING),
        ({"heartbeat_age": -0.5}, LivenessVerdict.WORKING),
        ({"heartbeat_age": 3.0}, LivenessVerdict.STOP),
        ({"heartbeat_age": -3600.0}, LivenessVerdict.STOP),
        ({"heartbeat_age": float("nan")}, LivenessVerdict.STOP),
        ({"heartbeat_age": float("-inf")}, LivenessVerdict.STOP),
        ({"heartbeat_age": 0.5, "life": ProcessMatch.UNKNOWN}, LivenessVerdict.WORKING),
        ({"heartbeat_age": 0.5, "life": ProcessMatch.GONE}, LivenessVerdict.GONE),
        ({"listener": PortOwner.NONE, "life": ProcessMatch.UNKNOWN}, LivenessVerdict.GONE),
        (
            {"listener": PortOwner.NONE, "life": ProcessMatch.UNKNOWN, "halt_requested": False},
            LivenessVerdict.GONE,
        ),
        (
            {"listener": PortOwner.NONE, "life": ProcessMatch.UNKNOWN, "heartbeat_age": 0.5},
            LivenessVerdict.WORKING,
        ),
        ({"listener": PortOwner.NONE}, LivenessVerdict.STOP),
        (
            {"listener": PortOwner.REFUSED, "life": ProcessMatch.UNKNOWN, "halt_requested": False},
            LivenessVerdict.CLOSED,
        ),
        ({"listener": PortOwner.REFUSED, "life": ProcessMatch.UNKNOWN}, LivenessVerdict.CLOSED),
        ({"listener": PortOwner.REFUSED}, LivenessVerdict.STOP),
    ],
)
def test_verdict(change: dict[str, Any], verdict: LivenessVerdict) -> None:
    """Each fact changes the verdict as the words of `Verdict` say."""
    assert classify(replace(MUTE, **change), LivenessLimits()) is verdict


SILENCES = st.builds(
    AgentEvidence,
    unanswered_for=st.floats(min_value=3, max_value=1e6),
    life=st.sampled_from(ProcessMatch),
    listener=st.sampled_from(PortOwner),
    cut=st.booleans(),
    heartbeat_age=st.none() | st.floats(),
    starting_for=st.floats(min_value=0, max_value=1e6),
    halt_requested=st.booleans(),
    halt_in_force=st.booleans(),
    stops=st.integers(min_value=0, max_value=10),
)


@given(SILENCES)
def test_what_shows_life_is_never_halted_or_stopped(silence: AgentEvidence) -> None:
    """Whatever else is true of it."""
    verdict = classify(silence, LivenessLimits())
    age = silence.heartbeat_age
    works = age is not None and 0 <= age < LivenessLimits.halt
    if works or silence.cut or silence.listener is PortOwner.FOREIGN:
        assert verdict not in {LivenessVerdict.HALT, LivenessVerdict.STOP}
    if verdict is LivenessVerdict.STOP:
        assert silence.stops < LivenessLimits.stops
        assert silence.life in {ProcessMatch.SAME, ProcessMatch.OTHER}
        assert silence.halt_requested or silence.life is ProcessMatch.OTHER
