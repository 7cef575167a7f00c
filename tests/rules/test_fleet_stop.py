"""The stop of the whole fleet, as the reconciler decides it: every bot, whatever else continues."""

from datetime import timedelta

import pytest

from tests.builders import NOW, make_incident
from tests.rules.configuration import RUNBOOKS
from trading_ops.domain.decide import decide
from trading_ops.domain.decision import (
    AlertState,
    AttemptHistory,
    Close,
    GlobalLimits,
    Run,
    Wait,
    World,
)
from trading_ops.domain.target import BOTS, Kind
from trading_ops.reconciler.runbook_index import load_runbooks

ALERT = "TradingFleetDailyLossBreached"
BOOK = load_runbooks(RUNBOOKS)[ALERT]
LIMITS = GlobalLimits()


def decided(world: World) -> object:
    incident = make_incident(alert=ALERT, target="beta", starts_at=NOW - timedelta(seconds=3))
    return decide(incident, BOOK, AttemptHistory(), world, LIMITS, NOW)


@pytest.mark.parametrize(
    "world",
    [
        World(view=AlertState.FIRING),
        World(view=AlertState.FIRING, failing_targets=50, failing_peak=50),
        World(view=AlertState.FIRING, halted="ada: odd fills"),
        World(view=AlertState.FIRING, blocking=("TradingVenueDown",)),
        *(World(view=AlertState.FIRING, target_kind=kind) for kind in sorted(BOTS)),
    ],
    ids=lambda world: f"{world.target_kind}-{world.failing_targets}-{world.halted or ''}",
)
def test_a_bot_is_halted_at_once(world: World) -> None:
    """No storm, no other halt and no dead venue keeps it back, and every kind of bot can be."""
    found = decided(world)
    assert isinstance(found, Run)
    assert BOOK.steps[found.step].action == "halt_trading"


def test_a_silence_holds_until_it_ends() -> None:
    """Silenced, hands are off; a bot that is halted raises it no more, and its incident closes."""
    assert isinstance(decided(World(view=AlertState.SILENCED)), Wait)
    assert isinstance(decided(World(view=AlertState.ABSENT)), Close)


def test_every_kind_that_can_be_halted_is_known() -> None:
    """A new kind of bot must be thought of here."""
    assert set(BOTS) >= {Kind.BOT, Kind.FREQTRADE}
