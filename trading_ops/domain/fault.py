"""One fault under all the names of its alerts: the key of acknowledgements and the second line."""

from collections.abc import Mapping
from typing import NamedTuple

ORIGIN, BOT, VENUE, SUBJECT = "origin", "bot", "venue", "subject"

SUBJECT_LABELS = (
    SUBJECT,
    "instance",
    "database",
    "path",
    "component",
    "symbol",
    "currency",
    "pool",
    "queue",
    "log",
    "kind",
    "code",
    "source",
    "metric",
    "group",
    "failover",
    "anomaly_name",
    "sloth_id",
    "collector",
    "integration",
    "task",
    "action",
    "rule_group",
    "gate",
    "reason",
    "clock",
    "operation",
    "name",
)
"""Labels that tell two alerts of one name, bot and venue apart; the recording rule
`fault:ALERTS:max` joins them in the same order. An alert about another has `subject` alone."""


class Fault(NamedTuple):
    """The labels of the metrics that hold the second line back."""

    origin: str
    bot: str
    venue: str
    subject: str


def subject_of(labels: Mapping[str, str]) -> str:
    """Return the values of the identifying labels, joined as the recording rule does."""
    return "".join(labels.get(name, "") for name in SUBJECT_LABELS)


def fault_of(labels: Mapping[str, str]) -> Fault:
    """Return the fault that an alert is about.

    `TradingRecoveryFailed` and similar alerts name in `origin` the alert that they are about:
    acknowledging one of them acknowledges the fault.
    """
    origin = labels.get(ORIGIN) or labels.get("alertname", "")
    return Fault(origin, labels.get(BOT, ""), labels.get(VENUE, ""), subject_of(labels))
