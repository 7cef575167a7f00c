"""A runbook: the steps of an alert, their limits, and the verify query."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from trading_ops.domain.attempt import DeliverySemantics
from trading_ops.domain.target import BOTS, NAMED_BOTS, Kind, Target


@dataclass(frozen=True, kw_only=True)
class RunbookStep:
    """A step: an action, its parameters and timeouts."""

    action: str
    params: Mapping[str, str] = field(default_factory=dict)
    timeout: timedelta
    verify_within: timedelta
    """Time after the action within which the verify query must hold."""

    delivery: DeliverySemantics
    kinds: frozenset[Kind] = BOTS
    """Kinds of target that the action supports; other targets skip the step."""

    approval: bool = False
    """Whether it needs approval each time."""

    while_halted: bool = False
    """Whether it may run on a target that an operator has halted."""


LONGEST_WINDOW = timedelta(days=1)
"""Maximum window for counting attempts."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Attempt limits of one runbook on one target."""

    cooldown: timedelta = timedelta(seconds=20)
    """Minimum time between attempts, from start to start."""

    attempts: int = 4
    window: timedelta = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class VerifyQuery:
    """The query that must hold, and for how long, for an attempt to be verified."""

    query: str
    """PromQL with `$bot`, `$venue` and `$target`; it holds if it returns any series."""

    duration: timedelta
    """For how long it must hold without a gap; `for` in the runbook."""


@dataclass(frozen=True, kw_only=True)
class Drill:
    """The fault to inject, and the maximum recovery time."""

    fault: str
    recover_within: timedelta
    """Maximum time from injection to closing the incident."""


@dataclass(frozen=True, kw_only=True)
class Runbook:
    """The front matter of `runbooks/<AlertName>.md`."""

    alert: str
    target_label: str
    """The label with the target's name."""

    page_after: str
    """`0s`, `5m`, `15m` or `never`: the alert's label, used for routing in Alertmanager."""

    steps: tuple[RunbookStep, ...] = ()
    """Empty: page-only."""

    limits: Limits = Limits()
    observe_only: bool = False
    """Decide and record, but do not act."""

    unless: tuple[str, ...] = ()
    """Alerts that block all steps while they fire for the same target or venue."""

    verify: VerifyQuery | None = None
    drill: Drill | None = None


def fill_query(query: str, target: Target) -> str:
    """Substitute the target's names in a query, escaped for PromQL.

    Only values of the registry are used, never labels of an alert.
    """
    bot = target.name if target.kind in NAMED_BOTS else ""
    for name, value in (("bot", bot), ("venue", target.venue or ""), ("target", target.name)):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        query = query.replace(f"${name}", escaped)
    return query


_STRING = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`'
_TOKEN = re.compile(
    rf"""
      (?P<skip> \s+ | \#[^\n]* )
    | (?P<labels> \b(?:by|without|on|ignoring|group_left|group_right)\b \s* (?:\([^)]*\))? )
    | (?P<range> \[[^\]]*\] )
    | (?P<series>
          [a-zA-Z_:][\w:]* (?: \s* \{{ (?: {_STRING} | [^}}"'`] )* \}} )?
        | \{{ (?: {_STRING} | [^}}"'`] )* \}}
      )
    | (?P<string> {_STRING} )
    | (?P<number> [0-9][\w.]* | \.[0-9]\w* )
    | (?P<other> . )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CALL = re.compile(r"\s*(?:\(|(?:by|without)\b)", re.IGNORECASE)
_WORDS = frozenset({"and", "or", "unless", "atan2", "bool", "offset", "inf", "nan", "start", "end"})


def selectors(query: str) -> tuple[str, ...]:
    """Return the vector selectors of an expression, each once, without range and modifiers."""
    found = []
    for match in _TOKEN.finditer(query):
        text = match["series"]
        if text is None or text.lower() in _WORDS:
            continue
        if not _CALL.match(query, match.end()) or "{" in text:
            found.append(text)
    return tuple(dict.fromkeys(found))


def age_of(query: str) -> str:
    """Return a query for the age of an expression's input.

    It returns one sample per selector with series: the age of the oldest of their newest samples,
    in seconds, by the clock of Prometheus.
    """
    ages = (
        f'label_replace(max(time() - timestamp({selector})), "selector", "{index}", "", "")'
        for index, selector in enumerate(selectors(query))
    )
    return " or ".join(ages)
