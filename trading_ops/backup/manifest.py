"""The manifest of a backup: size and SHA-256 of every file, and facts about its databases.

A manifest is stored as a line with its own SHA-256 and a line of JSON, so that a flipped bit in
either is detected.
"""

import hashlib
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from trading_ops.errors import StoreError

NAME = "manifest"
BLOCK = 1 << 20

Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{8}T[0-9]{6}\.[0-9]{3}Z-[0-9a-f]{6}$")]


class Damaged(StoreError):
    """A backup differs from its manifest, or the manifest cannot be read."""


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file."""

    path: Annotated[str, msgspec.Meta(min_length=1)]
    """Relative to the backup, with slashes."""

    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Hash
    mode: Annotated[int, msgspec.Meta(ge=0, le=0o777)]


class CapturedDatabase(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Facts about a database when it was captured; a restore test compares them."""

    path: str
    """Path of its file, or of the folder of a base backup."""

    engine: Literal["sqlite", "postgresql"]
    rows: dict[str, int] = {}
    """Number of rows of each table."""

    newest: dict[str, str] = {}
    """The newest time in each table with a time column."""

    revision: str | None = None
    """Schema revision, if the database uses Alembic."""

    audit_head: int | None = None
    """The newest event of the audit chain, if there is one."""

    wal_start: str | None = None
    wal_end: str | None = None
    """LSNs: the WAL of a PostgreSQL base backup, from its start to the last commit."""

    wal_counted: str | None = None
    """LSN at which `rows` and `newest` were exact; None: not counted."""

    recoverable_from: datetime | None = None
    recoverable_to: datetime | None = None
    """Any moment in between can be restored, by the server's clock."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One backup."""

    version: Literal[1] = 1
    id: Id
    created_at: datetime
    recoverable_to: datetime
    """Everything committed before this moment is in the backup."""

    release: str
    secrets: bool
    """Whether the secrets folder is included: only in an encrypted repository."""

    entries: tuple[FileEntry, ...]
    databases: tuple[CapturedDatabase, ...]

    @property
    def order(self) -> tuple[datetime, str]:
        """Return the sort key: time, then ID."""
        return (self.created_at, self.id)

    @property
    def bytes(self) -> int:
        """Return the size of all files."""
        return sum(entry.bytes for entry in self.entries)

    @property
    def postgresql(self) -> CapturedDatabase | None:
        """Return the PostgreSQL database, if there is one."""
        return next(
            (database for database in self.databases if database.engine == "postgresql"), None
        )

    @property
    def period(self) -> datetime:
        """Return the time that decides for which hour, day, week and month this backup counts.

        It is the time of its base: the last backup with a base covers all time since.
        """
        return (self.postgresql and self.postgresql.recoverable_from) or self.created_at

    def covers(self, moment: datetime) -> bool:
        """Return whether PostgreSQL can be restored to exactly this moment."""
        database = self.postgresql
        if database is None or database.recoverable_from is None or database.recoverable_to is None:
            return False
        return database.recoverable_from <= moment <= database.recoverable_to

    @property
    def store(self) -> CapturedDatabase | None:
        """Return the reconciler's database, the one with an audit chain."""
        return next(
            (database for database in self.databases if database.audit_head is not None), None
        )


def new_id(now: datetime) -> str:
    """Return an id that sorts by time."""
    at = now.astimezone(UTC)
    return f"{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03d}Z-{secrets.token_hex(3)}"


def encode(manifest: Manifest) -> bytes:
    """Return the manifest as a file."""
    body = msgspec.json.encode(manifest)
    return f"{hashlib.sha256(body).hexdigest()}\n".encode() + body + b"\n"


def decode(data: bytes) -> Manifest:
    """Read a manifest file.

    Raises:
        Damaged: the file was changed, or written by a later release.
    """
    digest, _, rest = data.partition(b"\n")
    body = rest[:-1]
    if rest[-1:] != b"\n" or digest != hashlib.sha256(body).hexdigest().encode():
        raise Damaged("the manifest does not match its checksum")
    try:
        manifest = msgspec.json.decode(body, type=Manifest)
    except msgspec.DecodeError as error:
        raise Damaged(f"the manifest cannot be read: {error}") from error
    if not all(is_safe(entry.path) for entry in manifest.entries):
        raise Damaged("the manifest names a path outside of the backup")
    return manifest


def is_safe(path: str) -> bool:
    """Return whether a path stays inside the folder that it is restored into."""
    parts = path.split("/")
    return "\0" not in path and not any(part in {"", ".", ".."} for part in parts)


def describe(folder: Path, known: Mapping[str, FileEntry] | None = None) -> tuple[FileEntry, ...]:
    """Return the entries of all files in a folder; links are not followed.

    Args:
        folder: with the files.
        known: entries of files that need not be read again, by path.
    """
    found = []
    for path in sorted(files(folder)):
        name = path.relative_to(folder).as_posix()
        found.append((known or {}).get(name) or describe_file(path, name))
    return tuple(found)


def describe_file(path: Path, name: str) -> FileEntry:
    """Return the entry of a file."""
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode) & 0o777
    return FileEntry(path=name, bytes=status.st_size, sha256=digest(path), mode=mode)


def files(folder: Path) -> Iterator[Path]:
    """Yield the regular files below a folder; links are not followed."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    made = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            made.update(block)
    return made.hexdigest()


def differences(manifest: Manifest, folder: Path) -> list[str]:
    """Return how the files in a folder differ from the manifest, one sentence each."""
    found = {path.relative_to(folder).as_posix(): path for path in files(folder)}
    problems = []
    for entry in manifest.entries:
        path = found.pop(entry.path, None)
        if path is None:
            problems.append(f"{entry.path} is missing")
        elif (size := path.stat().st_size) != entry.bytes:
            problems.append(f"{entry.path} has {size} bytes, expected {entry.bytes}")
        elif digest(path) != entry.sha256:
            problems.append(f"{entry.path} does not match its SHA-256")
    return problems + [f"{path} is not in the manifest" for path in sorted(found)]
