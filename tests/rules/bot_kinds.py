"""Which alerts each kind of bot can raise, and which facilities it has."""

import re
from typing import NamedTuple

from tests.rules.configuration import AlertRule, recorded, selected
from trading_ops.actions.registry import ACTIONS
from trading_ops.domain.target import BOTS, NAMED_BOTS, OWN_BOTS, Kind
from trading_ops.exporter.freqtrade import facts, message_metrics
from trading_ops.instrument import catalogue

_OF_A_SCRAPE = frozenset({"up", "scrape_samples_scraped"})
_FREQTRADE = frozenset({*facts.NAMES, *message_metrics.NAMES}) | _OF_A_SCRAPE
_JOB = re.compile(r'job="(trading-[a-z-]+)"')
_OF_A_BOT = frozenset({"trading-bot", "trading-bot-detail"})

NOT_OF_A_FREQTRADE = {
    "TradingBotDiskLow": 'reads `up{exporter=""}`: the host of a Freqtrade is not known',
    "TradingBotOrdersRejected": "no message of Freqtrade tells of a rejected order",
}
"""Alerts whose metrics a Freqtrade has, and which it cannot raise."""

OF_EVERY_BOT = {
    "TradingFleetDailyLossBreached": "the losses are the others', it fires for each bot"
}
"""Alerts that a bot raises without all of their metrics."""

OF_THE_RECONCILER = frozenset(
    {
        "TradingBotAgentUnresponsive",
        "TradingBotAutoHalted",
        "TradingBotHoldNotInForce",
        "TradingBotHoldReapplied",
    }
)
"""About what the reconciler commands: a bot without an agent is not among it."""


class Facility(NamedTuple):
    """What a text may promise, the words that name it, and the kinds of bot that have it."""

    named: str
    kinds: frozenset[Kind]


def _of(*actions: str) -> frozenset[Kind]:
    """Return the kinds to which all of these are done automatically, without further settings."""
    return frozenset.intersection(*(ACTIONS[name].kinds for name in actions)) & OWN_BOTS


FACILITIES = {
    # The paper bot has these two. Neither our agent nor our metrics bring them along.
    "dead man's switch": Facility(
        r"dead[- ]man|cancels its orders|orders are cancelled", frozenset()
    ),
    "limits of its own": Facility(
        r"(halt|hold)(s|ed) itself|takes on nothing|denies (entries|new)|submits no(thing| orders)",
        frozenset(),
    ),
    "agent": Facility(r"\bagent\b", OWN_BOTS),
    "renewed parts": Facility(
        r"new session|feed is restarted|nonces are moved",
        _of("reconnect_broker", "restart_component", "resync_nonce"),
    ),
    "removed logs": Facility(r"log files are removed", _of("rotate_logs", "free_disk")),
    "ordered comparison": Facility(r"compares again", _of("reconcile_positions")),
    "automatic halt": Facility(r"bot is halted|is halted, as", _of("halt_trading")),
}


def raised_by(rule: AlertRule) -> frozenset[Kind]:
    """Return the kinds of bot that can raise an alert."""
    if rule.name in OF_THE_RECONCILER:
        return BOTS
    if rule.name.startswith("TradingVenue"):
        return NAMED_BOTS
    read = selected(rule.expr)
    names = recorded()
    text = rule.expr + "".join(expr for name, expr in names.items() if name in rule.expr)
    if not _OF_A_BOT & set(_JOB.findall(text)) or rule.name.startswith("TradingOps"):
        return frozenset()
    needs = {name for name in read if name in catalogue.sample_names()} | (read & _OF_A_SCRAPE)
    if rule.name in OF_EVERY_BOT or (needs <= _FREQTRADE and rule.name not in NOT_OF_A_FREQTRADE):
        return NAMED_BOTS
    return NAMED_BOTS - {Kind.FREQTRADE}
