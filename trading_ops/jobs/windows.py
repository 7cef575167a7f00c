"""`maintenance.yml`: recurring maintenance windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import yaml

from trading_ops.config.files import load_yaml, parse_duration, problem_of
from trading_ops.domain.maintenance import LONGEST, Maintenance
from trading_ops.domain.target import Registry
from trading_ops.errors import ConfigError
from trading_ops.jobs.schedule import AtSession, Cron, next_due, parse

FILE = "maintenance.yml"
OWNER = "schedule"
"""Prefix of the windows' owner; followed by the name of the entry."""


class _Entry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    every: str
    length: str = msgspec.field(name="for")
    reason: str
    zone: str = "UTC"
    target: str | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    windows: dict[str, _Entry]


@dataclass(frozen=True, kw_only=True)
class Recurring:
    """One recurring window."""

    name: str
    schedule: Cron
    length: timedelta
    target: str | None
    """None: the whole fleet."""

    reason: str

    @property
    def owner(self) -> str:
        """Return the owner of its windows."""
        return f"{OWNER} {self.name}"

    def next(self, now: datetime) -> Maintenance | None:
        """Return the open window, or the next one."""
        begins_at = next_due(self.schedule, now - self.length, now)
        if begins_at is None:
            return None
        return Maintenance(
            target=self.target,
            owner=self.owner,
            reason=self.reason,
            begins_at=begins_at,
            ends_at=begins_at + self.length,
        )


def load_windows(folder: Path, registry: Registry) -> Sequence[Recurring]:
    """Return the windows in the folder's file; none if there is no file.

    Raises:
        ConfigError: a key or a value is invalid.
    """
    path = folder / FILE
    if not path.exists():
        return ()
    where = str(path)
    try:
        found = msgspec.convert(load_yaml(path.read_text("utf-8")), _File)
    except yaml.YAMLError as error:
        raise ConfigError(where, "", problem_of(error), "correct the file") from error
    except (OSError, UnicodeError) as error:
        raise ConfigError(where, "", str(error), "make it a readable text file") from error
    except msgspec.ValidationError as error:
        fix = 'write windows: {NAME: {every: "0 2 * * 0", for: 1h, reason: …}}'
        raise ConfigError(where, "", str(error), fix) from error
    return tuple(
        _recurring(name, entry, where, registry) for name, entry in sorted(found.windows.items())
    )


def _recurring(name: str, entry: _Entry, where: str, registry: Registry) -> Recurring:
    key = f"windows.{name}"
    schedule = parse(entry.every, entry.zone, where=where, key=key)
    if isinstance(schedule, AtSession):
        fix = 'write "MINUTE HOUR DAY MONTH WEEKDAY"'
        raise ConfigError(where, f"{key}.every", "a window cannot use a trading session", fix)
    length = parse_duration(entry.length, where, f"{key}.for")
    if not timedelta(0) < length <= LONGEST:
        problem = f"{entry.length} is not a valid length for a window"
        raise ConfigError(where, f"{key}.for", problem, f"at most {LONGEST.days}d")
    if entry.target is not None and registry.find(entry.target) is None:
        problem = f"targets.yml has no {entry.target}"
        raise ConfigError(where, f"{key}.target", problem, "name a target, or leave it out")
    return Recurring(
        name=name,
        schedule=schedule,
        length=length,
        target=entry.target,
        reason=entry.reason,
    )
