"""Loads the settings from `settings.yml` and the environment, and checks them."""

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from trading_ops.config.environment import PREFIX
from trading_ops.config.files import check_database, read_valid_lines, read_yaml
from trading_ops.config.log_policy import LogPolicy
from trading_ops.config.settings import Settings
from trading_ops.errors import ConfigError

BACKUP_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


def load_settings(root: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read `settings.yml` and the environment.

    Args:
        root: the project folder; by default TRADING_OPS_ROOT or the working directory.
        environ: replaces the process environment in tests.

    Raises:
        ConfigError: an unknown key, a wrong type, or a file that cannot be read.
    """
    env = os.environ if environ is None else environ
    folder = (root or Path(env.get(f"{PREFIX}ROOT", "."))).resolve()
    raw: dict[str, Any] = {"root": str(folder)}
    path = folder / "settings.yml"
    if path.exists():
        raw |= read_yaml(path)
    fields = {field.name for field in msgspec.structs.fields(Settings)} - {"root"}
    overrides = {name: env[key] for name in fields if (key := PREFIX + name.upper()) in env}
    _refuse_unknown(env, fields)
    try:
        settings = msgspec.convert(raw | overrides, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        wrong = next((name for name in overrides if f"$.{name}" in str(error)), None)
        if wrong is not None:
            variable = PREFIX + wrong.upper()
            fix = "see docs/deployment.md, “Settings”"
            raise ConfigError("environment", variable, str(error), fix) from error
        raise ConfigError(
            str(path), "", str(error), "see docs/deployment.md, “Settings”"
        ) from error
    for key in ("database", "backup_database"):
        where, problem = (
            (str(path), key) if key not in overrides else ("environment", PREFIX + key.upper())
        )
        check_database(getattr(settings, key), where, problem, readable=key not in overrides)
    if settings.backup_database.startswith("sqlite:"):
        fix = "leave it empty: SQLite databases in `var` are backed up without it"
        raise ConfigError(str(path), "backup_database", "names a SQLite database", fix)
    settings = _absolute(settings)
    where = str(path) if "backup_folders" not in overrides else "environment"
    _check_backup_folders(settings, where)
    return settings


def load_usable_settings(
    root: Path | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Read the valid settings and ignore the rest, for commands that must work anyway.

    A `settings.yml` that is not valid YAML is parsed line by line.

    Args:
        root: as for `load_settings`.
        environ: as for `load_settings`.
    """
    env = os.environ if environ is None else environ
    folder = (root or Path(env.get(f"{PREFIX}ROOT", "."))).resolve()
    fields = {field.name for field in msgspec.structs.fields(Settings)} - {"root"}
    found = read_valid_lines(folder / "settings.yml")
    found |= {name: env[key] for name in fields if (key := PREFIX + name.upper()) in env}
    usable: dict[str, Any] = {"root": str(folder)}
    for name in fields & found.keys():
        with contextlib.suppress(msgspec.ValidationError):
            values = {"root": str(folder), name: found[name]}
            msgspec.convert(values, Settings, strict=False, dec_hook=_decode)
            usable[name] = found[name]
    return _absolute(msgspec.convert(usable, Settings, strict=False, dec_hook=_decode))


def load_log_policy(
    folder: Path | None = None, environ: Mapping[str, str] | None = None
) -> LogPolicy:
    """Return the log policy of a process with its own configuration, from the environment.

    Args:
        folder: of its log files, unless the environment names one.
        environ: replaces the process environment in tests.

    Raises:
        ConfigError: a log setting is invalid or unknown.
    """
    env = os.environ if environ is None else environ
    fields = {f.name for f in msgspec.structs.fields(Settings) if f.name.startswith("log_")}
    given = {name: env[key] for name in fields if (key := PREFIX + name.upper()) in env}
    logs_only = {key: "" for key in env if key.startswith(f"{PREFIX}LOG_")}
    _refuse_unknown(logs_only, fields)
    try:
        settings = msgspec.convert(
            {"root": str(Path.cwd()), "log_dir": folder and str(folder), **given},
            Settings,
            strict=False,
            dec_hook=_decode,
        )
    except msgspec.ValidationError as error:
        wrong = next((name for name in given if f"$.{name}" in str(error)), "log_dir")
        fix = "see docs/logs.md"
        raise ConfigError("environment", PREFIX + wrong.upper(), str(error), fix) from error
    return settings.log_policy


def setting_sources(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the source of each setting: `environment`, `settings.yml` or `default`.

    Args:
        settings: as loaded.
        environ: replaces the process environment in tests.
    """
    env = os.environ if environ is None else environ
    path = settings.root / "settings.yml"
    written = read_yaml(path) if path.exists() else {}
    found = {}
    for name in (field.name for field in msgspec.structs.fields(Settings)):
        in_file = "settings.yml" if name in written else "default"
        found[name] = "environment" if PREFIX + name.upper() in env else in_file
    return found


def _check_backup_folders(settings: Settings, where: str) -> None:
    """Refuse names and folders that cannot be backed up.

    Raises:
        ConfigError: names the entry.
    """
    stored = settings.backup_repository
    for name, folder in settings.backup_folders.items():
        problem = fix = ""
        if not BACKUP_NAME.fullmatch(name):
            problem = f"{name!r} is not valid as a name"
            fix = "use the bot's name in targets.yml: lower-case letters, digits, -"
        elif not folder.is_absolute():
            problem, fix = f"{folder} is relative", "write the whole path, beginning with /"
        elif folder.is_relative_to(settings.var):
            problem = f"{folder} is in {settings.var}"
            fix = "remove the entry: this folder is backed up anyway"
        elif settings.var.is_relative_to(folder):
            problem, fix = f"{folder} contains {settings.var}", "name the folder of one bot"
        elif stored.startswith("/") and Path(stored).resolve().is_relative_to(folder.resolve()):
            problem = f"{folder} contains the backups, {stored}"
            fix = "choose another backup_repository"
        if problem:
            raise ConfigError(where, f"backup_folders.{name}", problem, fix)


def _absolute(settings: Settings) -> Settings:
    return msgspec.structs.replace(
        settings,
        **{
            field.name: (settings.root / value).resolve()
            for field in msgspec.structs.fields(Settings)
            if isinstance(value := getattr(settings, field.name), Path)
        },
    )


def _refuse_unknown(env: Mapping[str, str], fields: set[str]) -> None:
    """Refuse unknown variables, so that a misspelled one is not silently ignored."""
    known = {f"{PREFIX}ROOT", *(PREFIX + name.upper() for name in fields)}
    for name in sorted(env):
        if name.startswith(PREFIX) and name not in known:
            fix = "one of " + ", ".join(sorted(known))
            raise ConfigError("environment", name, "unknown setting", fix)


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"expected a path, got {value!r}")  # msgspec adds the key
