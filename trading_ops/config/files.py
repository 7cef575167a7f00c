"""Reads configuration files: YAML, durations, database addresses."""

import contextlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from trading_ops.errors import ConfigError

DATABASES = ("postgresql", "postgresql+psycopg", "sqlite")
DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""With libyaml a file of 1,000 targets is read in 0.1 s instead of 0.6 s."""


def load_yaml(text: str) -> Any:
    """Parse a YAML text.

    Raises:
        yaml.YAMLError: the text is not YAML.
    """
    try:
        return yaml.load(text, Loader=FAST)  # noqa: S506 - either is a safe loader
    except yaml.YAMLError:
        return yaml.safe_load(text)  # for the clearer error


def problem_of(error: Exception) -> str:
    """Return the line and the problem; PyYAML's own text would quote lines that contain secrets.

    Args:
        error: a `yaml.YAMLError`.
    """
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}: " if mark is not None else ""
    return f"{place}{getattr(error, 'problem', None) or 'invalid YAML'}"


def parse_duration(text: str, where: str = "", key: str = "") -> timedelta:
    """Read a duration as Prometheus writes it: `20s`, `1m30s`, `500ms`.

    Raises:
        ConfigError: the text is not a duration.
    """
    parts = DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ConfigError(where, key, f"invalid duration {text!r}", "write it as 20s, 5m or 1h")
    return timedelta(seconds=sum(int(number) * UNITS[unit] for number, unit in parts))


def check_database(database: str, where: str, key: str, *, readable: bool) -> None:
    """Refuse a URL of an unsupported database. Never repeats it: it may contain a password."""
    scheme, separator, rest = database.partition("://")
    if database and not (separator and scheme in DATABASES):
        name = f" {scheme!r}" if separator and scheme.isalnum() else ""
        raise ConfigError(
            where,
            key,
            f"unsupported database{name}",
            "write postgresql://USER@HOST/DATABASE, or leave it empty for SQLite",
        )
    if readable and (":" in rest.partition("/")[0].rpartition("@")[0] or "password=" in rest):
        raise ConfigError(
            where,
            key,
            "contains a password, in a file that others can read",
            f"move it to var/secrets/{key}_password, mode 0600",
        )


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the keys and values of a YAML file.

    Raises:
        ConfigError: it cannot be read, or is not a mapping.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise ConfigError(str(path), "", str(error), "correct or remove the file") from error
    except yaml.YAMLError as error:
        fix = "correct or remove the file"
        raise ConfigError(str(path), "", problem_of(error), fix) from error
    if not isinstance(data, dict):
        raise ConfigError(str(path), "", "expected a mapping of keys to values", "write KEY: VALUE")
    return data


def read_valid_lines(path: Path) -> dict[str, Any]:
    """Return the keys and values of a file; parses line by line if it is not valid YAML."""
    try:
        return read_yaml(path)
    except ConfigError:
        found: dict[str, Any] = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        with contextlib.suppress(yaml.YAMLError):
            if isinstance(entry := yaml.safe_load(line), dict):
                found |= entry
    return found
