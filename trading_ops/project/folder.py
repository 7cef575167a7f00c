"""Writes and updates a project folder without losing local changes.

A record in the folder has the hash of each file as shipped, as dpkg does for configuration files: a
file with that hash was not changed locally and can be replaced.
"""

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from trading_ops import __version__, durable
from trading_ops.errors import ConfigError, SetupError

RECORD = Path(".trading-ops.json")
NEW = ".new"
"""Appended to the name of a shipped file next to one that was changed locally."""


class FileOperation(StrEnum):
    """What an update does with one file."""

    NOTHING = "nothing"
    ADD = "add"
    REPLACE = "replace"
    REMOVE = "remove"
    KEEP = "keep"
    """Changed or removed locally; not changed in this release."""

    CONFLICT = "conflict"
    """Changed locally and in this release: the new version is written next to it."""


def step(recorded: str | None, local: str | None, new: str | None) -> FileOperation:
    """Decide by the hashes of a file: shipped before, current, shipped now.

    None: not recorded, does not exist, no longer shipped.
    """
    if local == new:
        return FileOperation.NOTHING
    if new is None:
        return FileOperation.REMOVE if local == recorded else FileOperation.KEEP
    if local is None:
        return FileOperation.ADD if recorded is None else FileOperation.KEEP
    if local == recorded:
        return FileOperation.REPLACE
    return FileOperation.KEEP if new == recorded else FileOperation.CONFLICT


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """What an update does with one file, and the two contents."""

    path: Path
    step: FileOperation
    local: bytes
    new: bytes

    @property
    def diff(self) -> str:
        """Return the unified diff from the current to the shipped content."""
        name = self.path.as_posix()
        lines = difflib.unified_diff(
            _lines(self.local),
            _lines(self.new),
            f"{name} (here)",
            f"{name} (trading-ops {__version__})",
            lineterm="",
        )
        return "\n".join(lines)


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()


def changes(folder: Path, shipped: Mapping[Path, bytes]) -> Iterator[FileChange]:
    """Yield what an update would do, for every file that differs from this release.

    Raises:
        ConfigError: the record of the folder cannot be read.
    """
    recorded = read_record(folder)
    for path in sorted({*recorded, *shipped}):
        local, new = _content(folder / path), shipped.get(path)
        found = step(recorded.get(path), _hash(local), _hash(new))
        if found is not FileOperation.NOTHING:
            yield FileChange(path=path, step=found, local=local or b"", new=new or b"")


def create(folder: Path, shipped: Mapping[Path, bytes]) -> None:
    """Write a new project folder.

    Raises:
        SetupError: a file exists with other content, or the folder cannot be written.
    """
    there = [
        path
        for path, content in shipped.items()
        if (found := _content(folder / path)) is not None and found != content
    ]
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise SetupError(
            f"{folder / there[0]}{more} already exists. Fix: name an empty folder, or use "
            f"`trading-ops init {folder} --update`, which keeps local changes"
        )
    update(folder, shipped)


def update(folder: Path, shipped: Mapping[Path, bytes]) -> tuple[FileChange, ...]:
    """Update a project folder to this release, and return the changes.

    Safe to repeat after an interruption.

    Raises:
        ConfigError: the record of the folder cannot be read.
        SetupError: the folder cannot be written.
    """
    done = tuple(changes(folder, shipped))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for change in done:
            _carry_out(folder, change)
        record = {path.as_posix(): _hash(shipped[path]) for path in sorted(shipped)}
        text = json.dumps({"version": __version__, "files": record}, indent=1) + "\n"
        _write(folder / RECORD, text.encode())
    except OSError as error:
        fix = "Fix: use a folder that this user can write"
        raise SetupError(f"{error.filename or folder}: {error.strerror}. {fix}") from error
    return done


def read_record(folder: Path) -> dict[Path, str]:
    """Return the hash of each file as shipped to this folder; empty without a record.

    Raises:
        ConfigError: the record cannot be read.
    """
    path = folder / RECORD
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        found = {Path(name): str(value) for name, value in raw["files"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        fix = "delete it: files that differ from this release then count as changed locally"
        raise ConfigError(str(path), "", problem, fix) from error
    if outside := [str(path) for path in found if path.is_absolute() or ".." in path.parts]:
        raise ConfigError(str(path), outside[0], "outside of the folder", "remove the entry")
    return found


def _carry_out(folder: Path, change: FileChange) -> None:
    path = folder / change.path
    match change.step:
        case FileOperation.ADD | FileOperation.REPLACE:
            _write(path, change.new)
        case FileOperation.CONFLICT:
            _write(path.with_name(path.name + NEW), change.new)
        case FileOperation.REMOVE:
            path.unlink()
        case FileOperation.KEEP | FileOperation.NOTHING:
            pass


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = 0o755 if content.startswith(b"#!") else None
    durable.write(path, content, mode=mode, by_several=True)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _hash(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()
