"""`jobs.yml`: when each job runs. The user's file overrides the shipped defaults."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from trading_ops.config.files import load_yaml, parse_duration, problem_of
from trading_ops.errors import ConfigError
from trading_ops.jobs.job import JOBS
from trading_ops.jobs.schedule import AtSession, Schedule, parse

FILE = "jobs.yml"
MOST_JITTER = timedelta(hours=1)


class _JobEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    schedule: str
    zone: str = "UTC"
    misfire: Literal["run_once", "skip"] = "run_once"
    timeout: str = "1h"
    jitter: str = "0s"
    enabled: bool = True
    in_maintenance: bool = False


class _JobsFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    jobs: dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class JobEntry:
    """When and how one job runs."""

    name: str
    schedule: Schedule
    skip_missed: bool
    """True: a missed run is skipped instead of run late."""

    timeout: timedelta
    jitter: timedelta
    enabled: bool
    in_maintenance: bool
    """True: it also runs in maintenance windows of the fleet."""


def load_jobs(folder: Path, known: Collection[str] = JOBS) -> dict[str, JobEntry]:
    """Return every job's entry, from the shipped file and the one in `folder`.

    Raises:
        ConfigError: a key or a value is invalid.
    """
    shipped = files("trading_ops.jobs") / FILE
    found = {name: dict(values) for name, values in _read(shipped.read_text("utf-8"), FILE).items()}
    own = folder / FILE
    if own.exists():
        try:
            text = own.read_text("utf-8")
        except (OSError, UnicodeError) as error:
            raise ConfigError(str(own), "", str(error), "make it a readable text file") from error
        for name, values in _read(text, str(own)).items():
            if name not in known:
                names = ", ".join(sorted(known))
                raise ConfigError(str(own), f"jobs.{name}", "unknown job", f"one of {names}")
            found.setdefault(name, {}).update(values)
    return {name: _entry(name, values, str(own)) for name, values in found.items() if name in known}


def calendars(entries: Mapping[str, JobEntry]) -> frozenset[str]:
    """Return the exchange calendars that enabled jobs use."""
    return frozenset(
        entry.schedule.calendar
        for entry in entries.values()
        if entry.enabled and isinstance(entry.schedule, AtSession)
    )


def _read(text: str, where: str) -> dict[str, dict[str, Any]]:
    try:
        data = load_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(where, "", problem_of(error), "correct the file") from error
    try:
        return msgspec.convert(data, _JobsFile).jobs
    except msgspec.ValidationError as error:
        fix = "write jobs: {NAME: {schedule: ...}}"
        raise ConfigError(where, "", str(error), fix) from error


def _entry(name: str, values: Mapping[str, Any], where: str) -> JobEntry:
    key = f"jobs.{name}"
    try:
        entry = msgspec.convert(values, _JobEntry)
    except msgspec.ValidationError as error:
        fields = ", ".join(field.name for field in msgspec.structs.fields(_JobEntry))
        raise ConfigError(where, key, str(error), f"known keys are {fields}") from error
    timeout = _length(entry.timeout, where, f"{key}.timeout")
    if not timeout:
        raise ConfigError(
            where, f"{key}.timeout", "invalid timeout 0s", "write a duration such as 30m"
        )
    jitter = _length(entry.jitter, where, f"{key}.jitter")
    if jitter > MOST_JITTER:
        raise ConfigError(where, f"{key}.jitter", f"{entry.jitter} is too long", "at most 1h")
    schedule = parse(entry.schedule, entry.zone, where=where, key=key)
    return JobEntry(
        name=name,
        schedule=schedule,
        skip_missed=entry.misfire == "skip",
        timeout=timeout,
        jitter=jitter,
        enabled=entry.enabled,
        in_maintenance=entry.in_maintenance,
    )


def _length(text: str, where: str, key: str) -> timedelta:
    try:
        return parse_duration(text, where, key)
    except OverflowError as error:
        raise ConfigError(
            where, key, f"{text} is too long", "write a duration such as 30m"
        ) from error
