"""A folder as repository: not encrypted; each content is stored once under its SHA-256.

    objects/ab/abcd…      one file for each content
    manifests/ID          one file for each backup, written last

A backup exists when its manifest does. An object is never changed, and is removed only when every
manifest could be read and none names it.
"""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path

from trading_ops import durable
from trading_ops.backup import disk
from trading_ops.backup.manifest import BLOCK, Damaged, FileEntry, Manifest, decode, digest, encode
from trading_ops.backup.repository import RepositoryListing
from trading_ops.errors import StoreError

BUSY = "another process is changing the backup repository {}. Fix: wait until it has finished"
UNFINISHED = "new-"
SYNC_BYTES = 2**22
"""Bytes written between two syncs: a bot's commits wait for the disk meanwhile."""


class FolderRepository:
    """Backups in a local or mounted folder."""

    encrypted = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._objects, self._manifests = path / "objects", path / "manifests"

    @property
    def location(self) -> str:
        """Return the folder."""
        return f"{self._path} (not encrypted)"

    def add(self, staging: Path, manifest: Manifest) -> None:
        """Store the new contents, then the manifest."""
        with self._changing():
            missing = [entry for entry in manifest.entries if not self._is_intact(entry)]
            disk.require_space(self._path, sum(entry.bytes for entry in missing), "the backup")
            folders = {self._store(staging / entry.path, entry).parent for entry in missing}
            for folder in folders:
                durable.sync(folder)
            durable.sync(self._objects)
            durable.write(self._manifests / manifest.id, encode(manifest))

    def listing(self) -> RepositoryListing:
        """Read all manifests."""
        found, damaged = [], []
        for path in sorted(self._manifests.glob("[0-9]*")):
            try:
                manifest = decode(path.read_bytes())
            except (Damaged, OSError) as error:
                damaged.append(f"{path.name}: {error}")
                continue
            if manifest.id == path.name:
                found.append(manifest)
            else:
                damaged.append(f"{path.name}: it contains the manifest of {manifest.id}")
        return RepositoryListing(sorted(found, key=lambda manifest: manifest.order), damaged)

    def space(self) -> disk.Space:
        """Return the space of the folder's file system."""
        return disk.space(self._path)

    def fetch(self, manifest: Manifest, into: Path) -> None:
        """Copy the contents, verifying each one while it is copied."""
        for entry in manifest.entries:
            target = into / entry.path
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                found = _copy(self._object(entry), target)
            except FileNotFoundError as error:
                raise Damaged(f"{entry.path}: its content is missing in the repository") from error
            except OSError as error:
                raise StoreError(f"{entry.path} could not be restored: {error}") from error
            if found != entry.sha256:
                raise Damaged(f"{entry.path}: its content in the repository was changed")
            target.chmod(entry.mode)

    def remove(self, ids: Collection[str]) -> None:
        """Remove the manifests first, then the objects that no other manifest names."""
        with self._changing():
            for key in ids:
                (self._manifests / key).unlink(missing_ok=True)
            durable.sync(self._manifests)
            listing = self.listing()
            if listing.damaged:
                return  # a damaged manifest may name any object
            named = {entry.sha256 for manifest in listing.manifests for entry in manifest.entries}
            for path in self._objects.glob("*/*"):
                if path.name not in named:
                    path.unlink()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        for folder in (self._path, self._objects, self._manifests):
            disk.private_folder(folder)
        with disk.locked(self._path / "lock", BUSY.format(self._path)):
            yield

    def _object(self, entry: FileEntry) -> Path:
        return self._objects / entry.sha256[:2] / entry.sha256

    def _is_intact(self, entry: FileEntry) -> bool:
        """Verify an existing object: a new backup must not use a corrupt one."""
        path = self._object(entry)
        return (
            path.is_file() and path.stat().st_size == entry.bytes and (digest(path) == entry.sha256)
        )

    def _store(self, source: Path, entry: FileEntry) -> Path:
        target = self._object(entry)
        disk.private_folder(target.parent)
        scratch = target.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
        if _copy(source, scratch) != entry.sha256:
            scratch.unlink()
            raise StoreError(f"{source.name} changed while it was being stored")
        return scratch.replace(target)


def _copy(source: Path, target: Path) -> str:
    """Copy a file to the disk and return the SHA-256 of what was copied."""
    made, synced = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with source.open("rb") as reading, os.fdopen(descriptor, "wb") as writing:
        while block := reading.read(BLOCK):
            made.update(block)
            writing.write(block)
            if writing.tell() - synced >= SYNC_BYTES:
                writing.flush()
                os.fdatasync(writing.fileno())
                synced = writing.tell()
        writing.flush()
        os.fsync(writing.fileno())
    return made.hexdigest()
