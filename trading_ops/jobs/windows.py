"""Recurring maintenance windows: those of `maintenance.yml`, and those that operators created."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import yaml

from trading_ops.config.files import load_yaml, parse_duration, problem_of
from trading_ops.domain.durations import format_duration
from trading_ops.domain.maintenance import LONGEST, Maintenance, RecurringWindow
from trading_ops.domain.target import Registry
from trading_ops.errors import ConfigError
from trading_ops.jobs.schedule import AtSession, Cron, cron_of, next_due, parse

FILE = "maintenance.yml"
COMPARED, COMPARED_FROM = 50, datetime(2026, 1, 1, tzinfo=UTC)
"""Windows in a row whose distance is compared with their length, from this day."""

FIX = "write windows: {NAME: {every: Sun 02:00, for: 1h, reason: …}}"

OWNER = "schedule"
"""Prefix of the windows' owner; followed by the name of the entry."""


class _WindowEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    every: str
    length: str = msgspec.field(name="for")
    reason: str
    zone: str = "UTC"
    target: str | None = None


class _WindowsFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    windows: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Recurring:
    """One recurring window."""

    owner: str
    """Of its windows; unique."""

    schedule: Cron
    length: timedelta
    target: str | None
    """None: the whole fleet."""

    reason: str
    order: RecurringWindow | None = None
    """As an operator created it; None: it is in the file."""

    def next(self, now: datetime) -> Maintenance | None:
        """Return the open window, or the next one."""
        after = now - self.length
        if self.order is not None:
            after = max(after, self.order.created_at)
        begins_at = next_due(self.schedule, after, now)
        if begins_at is None:
            return None
        return Maintenance(
            target=self.target,
            owner=self.owner,
            reason=self.reason,
            begins_at=begins_at,
            ends_at=begins_at + self.length,
        )


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The windows of the file, and those that are left out."""

    windows: tuple[Recurring, ...] = ()
    refused: tuple[ConfigError, ...] = ()
    """What is invalid: a window, or the file."""


def load_windows(folder: Path, registry: Registry) -> Loaded:
    """Return the windows in the folder's file; none if there is no file.

    An invalid one is left out: the reconciler must start without it, and with the others.
    """
    path = folder / FILE
    if not path.exists():
        return Loaded()
    windows, refused = [], []
    try:
        entries = _entries(path)
    except ConfigError as error:
        return Loaded(refused=(error,))
    for name, entry in sorted(entries.items()):
        try:
            windows.append(_recurring(name, entry, str(path), registry))
        except ConfigError as error:
            refused.append(error)
    return Loaded(windows=tuple(windows), refused=tuple(refused))


def _entries(path: Path) -> Mapping[str, Any]:
    where = str(path)
    try:
        return msgspec.convert(load_yaml(path.read_text("utf-8")), _WindowsFile).windows
    except yaml.YAMLError as error:
        raise ConfigError(where, "", problem_of(error), "correct the file") from error
    except (OSError, UnicodeError) as error:
        raise ConfigError(where, "", str(error), "make it a readable text file") from error
    except msgspec.ValidationError as error:
        raise ConfigError(where, "", str(error), FIX) from error


def ordered(order: RecurringWindow) -> Recurring:
    """Return the recurring window that an operator created.

    Raises:
        ConfigError: `every`, `zone` or `seconds` is invalid, or the windows would overlap.
    """
    length = timedelta(seconds=order.seconds)
    schedule = _schedule(order.every, order.zone, length, where="", prefix="")
    return Recurring(
        owner=order.owner_of_windows,
        schedule=schedule,
        length=length,
        target=order.target,
        reason=order.reason,
        order=order,
    )


def _recurring(name: str, given: Any, where: str, registry: Registry) -> Recurring:
    key = f"windows.{name}"
    try:
        entry = msgspec.convert(given, _WindowEntry)
    except msgspec.ValidationError as error:
        raise ConfigError(where, key, str(error), FIX) from error
    length = parse_duration(entry.length, where, f"{key}.for")
    schedule = _schedule(entry.every, entry.zone, length, where=where, prefix=f"{key}.")
    if entry.target is not None and registry.find(entry.target) is None:
        problem = f"targets.yml has no {entry.target}"
        raise ConfigError(where, f"{key}.target", problem, "name a target, or leave it out")
    return Recurring(
        owner=f"{OWNER} {name}",
        schedule=schedule,
        length=length,
        target=entry.target,
        reason=entry.reason,
    )


def _schedule(every: str, zone: str, length: timedelta, *, where: str, prefix: str) -> Cron:
    fix = 'write "Sun 02:00", "Mon-Fri 06:30", "day 04:00", or "MINUTE HOUR DAY MONTH WEEKDAY"'
    try:
        schedule = parse(cron_of(every), zone)
    except ConfigError as error:
        of_zone = error.key.endswith("zone")
        raise ConfigError(
            where,
            f"{prefix}{'zone' if of_zone else 'every'}",
            error.problem if of_zone else f"invalid schedule {every!r}",
            error.fix if of_zone else fix,
        ) from error
    if isinstance(schedule, AtSession):
        raise ConfigError(where, f"{prefix}every", "a window cannot use a trading session", fix)
    if not timedelta(0) < length <= LONGEST:
        problem = f"{format_duration(length)} is not a valid length for a window"
        raise ConfigError(where, f"{prefix}for", problem, f"at most {LONGEST.days}d")
    if (shortest := _shortest_period(schedule)) <= length:
        # Remediation would be off permanently.
        problem = f"a window would begin before the last one has ended, {every!r}"
        fix = f"write less than {format_duration(shortest)}"
        raise ConfigError(where, f"{prefix}for", problem, fix)
    return schedule


def _shortest_period(schedule: Cron) -> timedelta:
    """Return the shortest time between the beginnings of windows.

    By a clock that never changes, and always from the same day: what is accepted once is accepted
    at each start. Where the clock is set forward, two windows may touch once a year.
    """
    steady, moments = replace(schedule, zone="UTC"), [COMPARED_FROM]
    while len(moments) <= COMPARED:
        due = next_due(steady, moments[-1], moments[-1])
        assert due is not None  # noqa: S101 - cron never ends
        moments.append(due)
    return min(late - early for early, late in pairwise(moments[1:]))
