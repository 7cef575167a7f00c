"""Signed ZIP archives: files, and a manifest with their sizes, SHA-256 and an HMAC of all that.

An archive is untrusted until `check` has compared it with the audit key.
"""

import hashlib
import hmac
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

import msgspec

MANIFEST = "manifest.json"
LARGEST_MANIFEST = 1_000_000
BLOCK = 1 << 20

UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)
"""Exceptions raised when reading a damaged file, or one that is not such an archive."""


class SignedZip:
    """Writes one archive: its files, then the manifest."""

    def __init__(self, file: IO[bytes], purpose: str, key: bytes) -> None:
        """Start an archive.

        Args:
            file: empty, opened for writing.
            purpose: part of what is signed, so that one kind cannot pass for another.
            key: the audit key.
        """
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._purpose, self._key = purpose, key
        self._files: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the file; without `finish` the archive has no manifest."""
        self._zip.close()

    @contextmanager
    def member(self, name: str) -> Iterator[Callable[[bytes], None]]:
        """Yield a function that appends to a new file in the archive."""
        digest, size = hashlib.sha256(), 0
        with self._zip.open(name, "w") as member:

            def write(content: bytes) -> None:
                nonlocal size
                digest.update(content)
                member.write(content)
                size += len(content)

            yield write
        self._files[name] = {"sha256": digest.hexdigest(), "bytes": size}

    def finish(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write and return the signed manifest; nothing can be added afterwards."""
        manifest = {**facts, "files": self._files}
        signed = manifest | {"signature": _mac(manifest, self._purpose, self._key)}
        self._zip.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(signed), indent=2))
        return signed


def manifest_of(path: Path) -> dict[str, Any]:
    """Return the manifest of an archive, unverified.

    Raises:
        One of `UNREADABLE`.
    """
    with zipfile.ZipFile(path) as archive:
        return _manifest(archive)


def check(path: Path, purpose: str, keys: Sequence[bytes]) -> tuple[dict[str, Any], list[str]]:
    """Return the manifest of an archive, and the problem with its files or signature.

    Raises:
        One of `UNREADABLE`.
    """
    with zipfile.ZipFile(path) as archive:
        manifest = _manifest(archive)
        problems = [*_files(archive, manifest)]
    if not is_signed(manifest, purpose, keys):
        problems.append("the manifest was not signed with this audit key, or was changed")
    return manifest, problems


def is_signed(manifest: Mapping[str, Any], purpose: str, keys: Sequence[bytes]) -> bool:
    """Whether one of the keys signed a manifest."""
    unsigned = {name: value for name, value in manifest.items() if name != "signature"}
    given = str(manifest.get("signature", "")).encode("utf-8", "replace")
    return any(hmac.compare_digest(given, _mac(unsigned, purpose, key).encode()) for key in keys)


def _manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    with archive.open(MANIFEST) as file:
        return msgspec.json.decode(file.read(LARGEST_MANIFEST), type=dict[str, Any])


def _files(archive: zipfile.ZipFile, manifest: Mapping[str, Any]) -> Iterator[str]:
    names = {name for name in archive.namelist() if name != MANIFEST}
    listed = dict(manifest["files"])
    for name in sorted(names ^ set(listed)):
        yield f"{name} is {'not in the manifest' if name in names else 'missing'}"
    for name in sorted(names & set(listed)):
        digest, limit = hashlib.sha256(), int(listed[name]["bytes"])
        size = 0
        with archive.open(name) as file:
            # Unpack no more than the manifest lists: an archive is untrusted input.
            while size <= limit and (block := file.read(BLOCK)):
                size += len(block)
                digest.update(block)
        if size != limit or digest.hexdigest() != listed[name]["sha256"]:
            yield f"{name} was changed"


def _mac(manifest: Mapping[str, Any], purpose: str, key: bytes) -> str:
    text = msgspec.json.encode([purpose, manifest], order="deterministic")
    return hmac.digest(key, text, "sha256").hex()
