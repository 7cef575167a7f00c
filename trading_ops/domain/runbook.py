"""A runbook: the steps of an alert, their limits, and the verify query."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import BOTS, NAMED_BOTS, Kind, Target


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step: an action, its parameters and timeouts."""

    action: str
    params: Mapping[str, str] = field(default_factory=dict)
    timeout: timedelta
    verify_within: timedelta
    """Time after the action within which the verify query must hold."""

    delivery: Delivery
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

    hold: timedelta


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

    steps: tuple[Step, ...] = ()
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
