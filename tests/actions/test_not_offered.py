"""A bot that does not offer a command refuses it in a sentence; others are passed over before."""

from dataclasses import replace

import pytest

from trading_ops.actions.base import Action, Call
from trading_ops.actions.bot_commands import BotCommand
from trading_ops.actions.registry import ACTIONS
from trading_ops.domain.target import NAMED_BOTS, OWN_BOTS, Kind
from trading_ops.errors import Refused

PARAMS = {"restart_component": {"component": "feed"}, "throttle_load": {"seconds": "60"}}
OF_EVERY_AGENT = {"halt_trading", "reduce_trading", "resume_trading", "relieve_memory"}
OF_OTHERS = {"flatten_positions"}
OFFERED = {
    name
    for name, kind in ACTIONS.items()
    if issubclass(kind, BotCommand) and name not in OF_EVERY_AGENT | OF_OTHERS
}


@pytest.mark.parametrize("name", sorted(OFFERED))
async def test_a_command_that_the_bot_does_not_offer_is_refused(
    actions: dict[str, Action], call: Call, name: str
) -> None:
    """At once, so that the runbook continues; it says what the bot does offer."""
    with pytest.raises(Refused, match=r"unknown_command.*relieve_memory"):
        await actions[name].perform(replace(call, params=PARAMS.get(name, {})))


def test_what_needs_our_agent_is_passed_over_for_other_bots() -> None:
    """A Freqtrade can be held and flattened; a bare bot only allows notifications."""
    for name in OFFERED | {"relieve_memory", "resume_trading"}:
        assert ACTIONS[name].kinds == OWN_BOTS
    fits = {
        kind: {name for name, action in ACTIONS.items() if kind in action.kinds}
        for kind in NAMED_BOTS
    }
    assert fits[Kind.BARE_BOT] == {"page_oncall"}
    assert fits[Kind.FREQTRADE] == {
        *("halt_trading", "reduce_trading", "flatten_positions", "page_oncall")
    }
