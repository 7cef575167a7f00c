"""Reads configuration files: YAML, durations, secrets of one line, database addresses."""

import contextlib
import re
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from trading_ops.errors import ConfigError

DATABASE_PASSWORD = "database_password"  # noqa: S105 - the name of its file
DATABASES = ("postgresql", "postgresql+psycopg", "sqlite")
DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""With libyaml a file of 1,000 targets is read in 0.1 s instead of 0.6 s."""


def load_yaml(text: str) -> Any:
    """Return the plain values of a YAML text.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    try:
        return yaml.load(text, Loader=FAST)  # noqa: S506 - either is a safe loader
    except yaml.YAMLError:
        return yaml.safe_load(text)  # for the clearer error


def problem_of(error: Exception) -> str:
    """Return the line and the problem; the library's own text repeats lines, with what is secret.

    Args:
        error: a `yaml.YAMLError`.
    """
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}: " if mark is not None else ""
    return f"{place}{getattr(error, 'problem', None) or 'it is no YAML'}"


def parse_duration(text: str, where: str = "", key: str = "") -> timedelta:
    """Read a duration as Prometheus writes it: `20s`, `1m30s`, `500ms`.

    Raises:
        ConfigError: it has another form.
    """
    parts = DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ConfigError(where, key, f"{text!r} is no duration", "write it as 20s, 5m or 1h")
    return timedelta(seconds=sum(int(number) * UNITS[unit] for number, unit in parts))


def check_database(database: str, where: str, key: str, *, readable: bool) -> None:
    """Refuse what is no database of ours. A password may be in it, so it is never repeated."""
    scheme, separator, rest = database.partition("://")
    if database and not (separator and scheme in DATABASES):
        said = f"{scheme} is" if separator and scheme.isalnum() else "it is"
        raise ConfigError(
            where,
            key,
            f"{said} neither PostgreSQL nor SQLite",
            "write postgresql://USER@HOST/DATABASE, or nothing for SQLite",
        )
    if readable and (":" in rest.partition("/")[0].rpartition("@")[0] or "password=" in rest):
        raise ConfigError(
            where,
            key,
            "a password does not belong in a file that others read",
            f"leave it out, and write it into var/secrets/{DATABASE_PASSWORD}, mode 0600",
        )


def read_password(path: Path) -> str:
    """Return the password in a file that nobody else can read.

    Raises:
        ConfigError: it cannot be read, others can read it, or it is empty.
    """
    try:
        mode = path.stat().st_mode & 0o077
        password = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeError) as error:
        fix = "make it a text file of one line that this user can read"
        raise ConfigError(str(path), "", type(error).__name__, fix) from error
    if mode:
        raise ConfigError(str(path), "", "others can read it", f"chmod go= {path}")
    if not password:
        raise ConfigError(str(path), "", "it is empty", "write the password into it, or delete it")
    return password


def refuse_exposed(path: Path) -> None:
    """Refuse a secret that every user of this machine can read or write.

    A file of any mode is accepted in a folder that only its owner or group can enter: a container
    gets its secrets with mode 0444. Group access is the owner's choice.

    Raises:
        ConfigError: every user can open it.
        OSError: it, or a folder above it, cannot be looked at.
    """
    real = path.resolve(strict=True)
    found = real.stat().st_mode
    mode = stat.S_IMODE(found)
    if not stat.S_ISREG(found):
        return  # such as a pipe of the shell's `<(…)`
    if mode & 0o006 and all(folder.stat().st_mode & 0o001 for folder in real.parents):
        problem = f"every user of this machine can open it (mode {mode:04o})"
        raise ConfigError(str(path), "", problem, f"chmod 600 {path}")


def first_line(path: Path, fix: str) -> str:
    """Return the first line of a file, as of a token.

    Raises:
        ConfigError: it cannot be read, says nothing, or every user can open it; `fix` is what to
            do about the first two.
    """
    try:
        refuse_exposed(path)
        line = path.read_text(encoding="ascii").partition("\n")[0].strip()
    except OSError as error:
        raise ConfigError(str(path), "", error.strerror or "unreadable", fix) from error
    except UnicodeError as error:
        raise ConfigError(str(path), "", "it is no text of a token", fix) from error
    if not line:
        raise ConfigError(str(path), "", "its first line is empty", fix)
    return line


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a file of keys and values.

    Raises:
        ConfigError: it cannot be read, or is something else.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise ConfigError(str(path), "", str(error), "correct or remove the file") from error
    except yaml.YAMLError as error:
        fix = "correct or remove the file"
        raise ConfigError(str(path), "", problem_of(error), fix) from error
    if not isinstance(data, dict):
        raise ConfigError(str(path), "", "it is no mapping of keys to values", "write KEY: VALUE")
    return data


def read_valid_lines(path: Path) -> dict[str, Any]:
    """Return the keys and values of a file that may be broken; of a broken one, line by line."""
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
            if isinstance(one := yaml.safe_load(line), dict):
                found |= one
    return found
