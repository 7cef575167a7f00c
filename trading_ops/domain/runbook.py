"""The plan for an alert: steps tried in order, limits, and what counts as success."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import BOTS, NAMED_BOTS, Kind, Target


@dataclass(frozen=True, kw_only=True)
class Step:
    """One rung: an action, its parameters and its times."""

    action: str
    params: Mapping[str, str] = field(default_factory=dict)
    timeout: timedelta
    verify_within: timedelta
    """From the end of the action until the verify query must have held."""

    delivery: Delivery
    kinds: frozenset[Kind] = BOTS
    """What its action can be done to; for any other target the step is skipped."""

    approval: bool = False
    """Whether a person must approve it first, each time."""

    while_halted: bool = False
    """Whether it may run on a target that a person has halted."""


LONGEST_WINDOW = timedelta(days=1)
"""How far back attempts are counted at most."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How often the steps of one runbook may run on one target."""

    cooldown: timedelta = timedelta(seconds=20)
    """Least time between two attempts, from start to start."""

    attempts: int = 4
    window: timedelta = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class VerifyQuery:
    """What must be true, and for how long, before an attempt counts as a success."""

    query: str
    """PromQL with `$bot`, `$venue` and `$target`; it holds when it returns anything."""

    hold: timedelta


@dataclass(frozen=True, kw_only=True)
class Drill:
    """How to break it on purpose, and how fast it must heal."""

    fault: str
    recover_within: timedelta
    """From the injection to the end of the incident."""


@dataclass(frozen=True, kw_only=True)
class Runbook:
    """The machine's part of one `runbooks/<AlertName>.md`."""

    alert: str
    target_label: str
    """The label whose value names the target."""

    page_after: str
    """`0s`, `5m`, `15m` or `never`: the alert's own label, which Alertmanager routes by."""

    steps: tuple[Step, ...] = ()
    """Empty: for people only."""

    limits: Limits = Limits()
    observe_only: bool = False
    """Decide and record, but act on nothing."""

    unless: tuple[str, ...] = ()
    """Alerts during which nothing is done, for the same target or venue."""

    verify: VerifyQuery | None = None
    drill: Drill | None = None


def fill_query(query: str, target: Target) -> str:
    """Put the registered target's own names into a query, escaped for a PromQL string.

    Only values of the registry go in; an alert's labels never do.
    """
    bot = target.name if target.kind in NAMED_BOTS else ""
    for name, value in (("bot", bot), ("venue", target.venue or ""), ("target", target.name)):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        query = query.replace(f"${name}", escaped)
    return query
