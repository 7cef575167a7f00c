"""Reads a configuration file into a struct, with precise errors."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
import yaml

from trading_ops.config.files import problem_of
from trading_ops.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)

LARGEST_FILE = 4 * 1024 * 1024
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<field>[^`]*)`")
_MISSING = re.compile(r"^Object missing required field `(?P<field>[^`]*)`")
_PLACE = re.compile(r" - at `\$\.?(?P<place>[^`]*)`$")
_PART = re.compile(r"(?P<name>[^.\[\]]+)|\[(?P<index>\d+)\]")


def read_config(path: Path, kind: type[T]) -> T:
    """Read the file: JSON if its name ends with .json, else YAML. Paths are relative to its folder.

    Raises:
        ConfigError: names the file, the key and the fix.
    """
    return convert_config(_read(path), kind, where=str(path), folder=path.parent)


def convert_config(raw: Any, kind: type[T], *, where: str, folder: Path) -> T:
    """Turn plain values into a struct.

    Args:
        raw: the parsed YAML or JSON; None for an empty file.
        kind: the struct.
        where: the file, for errors.
        folder: base of relative paths.

    Raises:
        ConfigError: names the file, the key and the fix.
    """
    try:
        return msgspec.convert({} if raw is None else raw, kind, dec_hook=_paths_of(folder))
    except msgspec.ValidationError as error:
        key, problem, fix = _explain(str(error), raw, kind)
        raise ConfigError(where, key, problem, fix) from error


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_FILE).decode("utf-8")
        return msgspec.json.decode(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        fix = "name a file that this user can read; deploy/exporter.yml is an example"
        raise ConfigError(str(path), "", error.strerror or "unreadable", fix) from error
    except UnicodeError as error:
        raise ConfigError(str(path), "", "not UTF-8", "save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise ConfigError(str(path), "", problem_of(error), "correct the syntax") from error
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise ConfigError(str(path), "", str(error), "correct the syntax") from error


def _paths_of(folder: Path) -> Callable[[type, Any], Any]:
    return partial(_decode, folder.absolute())


def _decode(folder: Path, kind: type, value: Any) -> Any:
    if kind is not Path:
        raise NotImplementedError(kind)  # msgspec's convention for an unknown type
    if not isinstance(value, str) or not value or "\0" in value:
        raise TypeError(f"Expected a path, got {value!r}")  # msgspec adds the key
    return folder / value


def _explain(message: str, raw: Any, kind: type) -> tuple[str, str, str]:
    """Return the key, the problem and the fix for a message of msgspec."""
    found = _PLACE.search(message)
    place = found["place"] if found else ""
    problem = _PLACE.sub("", message)
    key, within = _walk(place, raw, kind)
    if unknown := _UNKNOWN.match(message):
        known = ", ".join(field.encode_name for field in msgspec.structs.fields(within))
        return _join(key, unknown["field"]), "unknown key", f"one of {known}"
    if missing := _MISSING.match(message):
        name = missing["field"]
        return _join(key, name), "it is missing", f"add `{name}: …`"
    return key, problem, "see docs/exporter.md, “Every key”"


def _walk(place: str, raw: Any, kind: type) -> tuple[str, type]:
    """Return a readable key, with entries by name, and the struct that it refers to."""
    key = ""
    for part in _PART.finditer(place):
        if part["index"] is not None:
            raw = _item(raw, int(part["index"]))
            name = raw.get("name") if isinstance(raw, dict) else None
            key += f"[{name if isinstance(name, str) else part['index']}]"
        else:
            raw = raw.get(part["name"]) if isinstance(raw, dict) else None
            key = _join(key, part["name"])
            kind = _struct_in(kind, part["name"])
    return key, kind


def _item(raw: Any, index: int) -> Any:
    return raw[index] if isinstance(raw, list) and index < len(raw) else None


def _struct_in(kind: type, name: str) -> type:
    """Return the struct that a field of a struct holds, directly or in a tuple."""
    for field in msgspec.structs.fields(kind):
        if field.encode_name == name:
            for inner in (field.type, *get_args(field.type)):
                if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                    return inner
    return kind


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
