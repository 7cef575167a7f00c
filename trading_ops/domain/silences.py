"""Manual silences in Alertmanager: the targets that one covers, and whether it is too wide."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from trading_ops.domain.acknowledgement import BOT, ORIGIN, SUBJECT_LABELS, VENUE
from trading_ops.domain.alert import PAGE_LABEL, WATCHDOG
from trading_ops.domain.target import NAMED_BOTS, Kind, Registry, Target

ALERTNAME = "alertname"
LITERAL = re.compile(r"(?:[\w :/@-]|\\\.)*")
NOT_OF_TARGETS = frozenset(
    {
        "instance",
        "database",
        "path",
        "log",
        "collector",
        "integration",
        "task",
        "action",
        "rule_group",
        "gate",
        "reason",
        "clock",
        "host",
    }
)
"""Identifying labels that no alert of a bot or a venue has."""

ANYWHERE = frozenset({"severity", PAGE_LABEL, "remediation", ORIGIN, "after", "target"})
OF_TARGETS = ANYWHERE | set(SUBJECT_LABELS) - NOT_OF_TARGETS
OF_OTHERS = ANYWHERE | set(SUBJECT_LABELS)


class TooWide(StrEnum):
    """Why a silence is too wide; also a label value."""

    TARGETS = "targets"
    """It covers more than one target, or our own monitoring."""

    LENGTH = "length"
    """It lasts longer than the limit."""


@dataclass(frozen=True)
class Matcher:
    """One condition of a silence."""

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True

    def may_match(self, value: str) -> bool:
        """Whether it can match a label value.

        Regular expressions are not executed, because a malicious one could run for hours: only
        alternatives of literals are compared; all others may match anything.
        """
        if not self.is_regex:
            return (value == self.value) is self.is_equal
        names = self.value.split("|")
        if not all(map(LITERAL.fullmatch, names)):
            return True
        return (value in (name.replace("\\.", ".") for name in names)) is self.is_equal

    def __str__(self) -> str:
        """Return it as Alertmanager writes it."""
        operator = ("=~" if self.is_equal else "!~") if self.is_regex else "="
        return f'{self.name}{operator if self.is_regex or self.is_equal else "!="}"{self.value}"'


@dataclass(frozen=True, kw_only=True)
class Silence:
    """A silence that has not expired."""

    id: str
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str
    matchers: tuple[Matcher, ...] = ()

    def may_match(
        self, fixed: Mapping[str, str], names: Collection[str], free: Collection[str]
    ) -> bool:
        """Return whether it can match an alert.

        Args:
            fixed: labels of the alert.
            names: the names that the alert may have.
            free: labels that it may have, with any value; it has no other labels.
        """
        for matcher in self.matchers:
            values = names if matcher.name == ALERTNAME else (fixed.get(matcher.name, ""),)
            if matcher.name not in free and not any(map(matcher.may_match, values)):
                return False
        return True


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Our alerts and the registered targets, which a silence can cover."""

    alerts: Mapping[str, str]
    """The label that names the target, by alert."""

    registry: Registry
    external: Mapping[str, str]
    """The labels that Prometheus adds to every alert."""

    def covered(self, silence: Silence) -> tuple[Target, ...]:
        """Return the bots and venues some of whose alerts it may silence."""
        kinds = NAMED_BOTS | {Kind.VENUE}
        targets = (target for target in self.registry if target.kind in kinds)
        return tuple(target for target in targets if self._covers(silence, target))

    def too_wide(self, silence: Silence, *, longest: timedelta) -> frozenset[TooWide]:
        """Return why the silence is too wide; empty: acceptable, or not about our alerts."""
        covered = self.covered(silence)
        bots = sum(target.kind in NAMED_BOTS for target in covered)
        others = {name for name, label in self.alerts.items() if label not in {BOT, VENUE}}
        fixed = {BOT: "", VENUE: "", **self.external}
        beside = silence.may_match(fixed, others, OF_OTHERS)
        watchdog = fixed | {"severity": "none", PAGE_LABEL: "never"}
        blind = silence.may_match(watchdog, {WATCHDOG}, ())
        found = set()
        if bots > 1 or len(covered) - bots > 1 or (covered and beside) or blind:
            found.add(TooWide.TARGETS)
        if (covered or beside) and silence.ends_at - silence.starts_at > longest:
            found.add(TooWide.LENGTH)
        return frozenset(found)

    def _covers(self, silence: Silence, target: Target) -> bool:
        label = VENUE if target.kind is Kind.VENUE else BOT
        names = {name for name, alert_label in self.alerts.items() if alert_label == label}
        of_target = {BOT: target.name, VENUE: target.venue or ""}
        if label == VENUE:
            of_target = {BOT: "", VENUE: target.name}
        fixed = {**self.external, **target.labels, **of_target}
        return silence.may_match(fixed, names, OF_TARGETS - fixed.keys())
