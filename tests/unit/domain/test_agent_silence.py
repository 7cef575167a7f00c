"""What a silence means: as a table, and with what must hold for every silence."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_ops.domain.agent_silence import (
    AgentSilence,
    PortOwner,
    ProcessMatch,
    SilenceLimits,
    SilenceVerdict,
    classify,
)

MUTE = AgentSilence(
    silent_for=7.0, life=ProcessMatch.SAME, listener=PortOwner.OWN, halt_requested=True
)
"""Alive, and nothing shows that it works: the process is stopped."""


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, SilenceVerdict.STOP),
        ({"listener": PortOwner.UNKNOWN}, SilenceVerdict.STOP),
        ({"silent_for": 5.9}, SilenceVerdict.WAIT),
        ({"life": ProcessMatch.UNKNOWN}, SilenceVerdict.WAIT),
        ({"halt_requested": False}, SilenceVerdict.HALT),
        ({"halt_requested": False, "life": ProcessMatch.UNKNOWN}, SilenceVerdict.HALT),
        ({"halt_in_force": True}, SilenceVerdict.HALTED),
        ({"life": ProcessMatch.GONE}, SilenceVerdict.GONE),
        ({"life": ProcessMatch.OTHER, "starting_for": 119.0}, SilenceVerdict.STARTING),
        ({"life": ProcessMatch.OTHER, "starting_for": 120.0}, SilenceVerdict.STOP),
        ({"life": ProcessMatch.OTHER, "starting_for": 120.0, "stops": 3}, SilenceVerdict.SPENT),
        ({"stops": 2}, SilenceVerdict.STOP),
        ({"stops": 3}, SilenceVerdict.SPENT),
        ({"cut": True}, SilenceVerdict.OVERLOADED),
        ({"cut": True, "life": ProcessMatch.GONE}, SilenceVerdict.GONE),
        ({"listener": PortOwner.FOREIGN}, SilenceVerdict.IMPOSTOR),
        ({"heartbeat_age": 0.5}, SilenceVerdict.WORKING),
        ({"heartbeat_age": -0.5}, SilenceVerdict.WORKING),
        ({"heartbeat_age": 3.0}, SilenceVerdict.STOP),
        ({"heartbeat_age": -3600.0}, SilenceVerdict.STOP),
        ({"heartbeat_age": float("nan")}, SilenceVerdict.STOP),
        ({"heartbeat_age": float("-inf")}, SilenceVerdict.STOP),
        ({"heartbeat_age": 0.5, "life": ProcessMatch.UNKNOWN}, SilenceVerdict.WORKING),
        ({"heartbeat_age": 0.5, "life": ProcessMatch.GONE}, SilenceVerdict.GONE),
    ],
)
def test_verdict(change: dict[str, Any], verdict: SilenceVerdict) -> None:
    """Each fact changes the verdict as the words of `Verdict` say."""
    assert classify(replace(MUTE, **change), SilenceLimits()) is verdict


SILENCES = st.builds(
    AgentSilence,
    silent_for=st.floats(min_value=3, max_value=1e6),
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
def test_what_shows_life_is_never_halted_or_stopped(silence: AgentSilence) -> None:
    """Whatever else is true of it."""
    verdict = classify(silence, SilenceLimits())
    age = silence.heartbeat_age
    works = age is not None and 0 <= age < SilenceLimits.silence
    if works or silence.cut or silence.listener is PortOwner.FOREIGN:
        assert verdict not in {SilenceVerdict.HALT, SilenceVerdict.STOP}
    if verdict is SilenceVerdict.STOP:
        assert silence.stops < SilenceLimits.stops
        assert silence.life in {ProcessMatch.SAME, ProcessMatch.OTHER}
        assert silence.halt_requested or silence.life is ProcessMatch.OTHER
