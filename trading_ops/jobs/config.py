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
REPORT = "report_"
"""Prefix of the jobs that send reports."""


class _JobEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    schedule: str
    zone: str | None = None
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


@dataclass(frozen=True, kw_only=True)
class LoadedJobs:
    """The entry of every job, and what is left out of the user's file."""

    entries: Mapping[str, JobEntry]
    refused: tuple[ConfigError, ...] = ()
    """What is invalid: an entry, or the file."""


def load_jobs(
    folder: Path, known: Collection[str] = JOBS, *, reports_zone: str = "UTC"
) -> LoadedJobs:
    """Return every job's entry, from the shipped file and the one in `folder`.

    An invalid entry of the user's file is left out, so that its job runs as shipped: the reconciler
    must start without it, and with the others.

    Args:
        folder: of the user's file.
        known: the names of the jobs.
        reports_zone: time zone of the jobs that send reports; the others have UTC.
    """
    shipped = _read((files("trading_ops.jobs") / FILE).read_text("utf-8"), FILE)
    zones = {name: reports_zone if name.startswith(REPORT) else "UTC" for name in known}
    entries = {
        name: _entry(name, shipped[name], FILE, zone=zones[name])
        for name in shipped
        if name in known
    }
    own = folder / FILE
    if not own.exists():
        return LoadedJobs(entries=entries)
    refused = []
    try:
        overrides = _read(_text(own), str(own))
    except ConfigError as error:
        return LoadedJobs(entries=entries, refused=(error,))
    for name, values in overrides.items():
        if name not in known:
            fix = f"one of {', '.join(sorted(known))}"
            refused.append(ConfigError(str(own), f"jobs.{name}", "unknown job", fix))
            continue
        try:
            entries[name] = _entry(
                name, {**shipped.get(name, {}), **values}, str(own), zone=zones[name]
            )
        except ConfigError as error:
            refused.append(error)
    return LoadedJobs(entries=entries, refused=tuple(refused))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigError(str(path), "", str(error), "make it a readable text file") from error


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


def _entry(name: str, values: Mapping[str, Any], where: str, *, zone: str) -> JobEntry:
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
    schedule = parse(entry.schedule, entry.zone or zone, where=where, key=key)
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
