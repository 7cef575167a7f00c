"""The files that this release ships for a project folder."""

import json
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from trading_ops.config.settings import Settings

LEFT_OUT = frozenset({"prometheus/tests"})
"""Shipped folders that a project folder does not need."""

COMMON = "trading_ops.project"


def shipped(targets: Traversable | None = None) -> dict[Path, bytes]:
    """Return the content of every file, by its path in the project folder.

    Args:
        targets: a `targets.yml` for other uses than production; the result then has no settings.
    """
    found = dict(_below(files(COMMON) / "files", Path()))
    if targets is not None:
        return found | {Path("targets.yml"): targets.read_bytes()}
    found |= dict(_below(files(COMMON) / "production", Path()))
    settings = Path("settings.yml")
    return found | {settings: found[settings] + _other_settings(found[settings].decode()).encode()}


def _below(folder: Traversable, path: Path) -> Iterator[tuple[Path, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda child: child.name):
        inner = path / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_file():
            yield inner, entry.read_bytes()
        elif entry.is_dir() and inner.as_posix() not in LEFT_OUT:
            yield from _below(entry, inner)


def _other_settings(text: str) -> str:
    """Return every setting that is not in the template, commented out with its default."""
    explained = {line.lstrip("# ").partition(":")[0] for line in text.splitlines()}
    lines = ["", "# All other settings with their defaults; docs/deployment.md describes them."]
    for field in msgspec.structs.fields(Settings):
        if field.name != "root" and field.name not in explained:
            default = field.default
            if default is msgspec.NODEFAULT:
                default = field.default_factory()
            value = str(default) if isinstance(default, Path) else default
            lines.append(f"# {field.name}: {json.dumps(value)}")
    return "\n".join(lines) + "\n"
