"""A fault: the common key of its alerts, for acknowledgements and secondary on-call."""

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
    "resource",
)
"""Labels that distinguish two alerts with the same name, bot and venue; the recording rule
`fault:ALERTS:max` joins them in the same order. An alert about another alert has only `subject`."""


class Fault(NamedTuple):
    """Labels of the metrics that suppress paging of secondary on-call."""

    origin: str
    bot: str
    venue: str
    subject: str


def subject_of(labels: Mapping[str, str]) -> str:
    """Return the values of the identifying labels, joined as the recording rule does."""
    return "".join(labels.get(name, "") for name in SUBJECT_LABELS)


def fault_of(labels: Mapping[str, str]) -> Fault:
    """Return the fault of an alert.

    `TradingRecoveryFailed` and similar alerts have the original alert in `origin`: acknowledging
    one of them acknowledges the fault.
    """
    origin = labels.get(ORIGIN) or labels.get("alertname", "")
    return Fault(origin, labels.get(BOT, ""), labels.get(VENUE, ""), subject_of(labels))
