"""Finds log files: regular files only, up to a limit."""

import fnmatch
import os
import stat
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

LARGEST_FOLDER = 10_000
"""Maximum number of entries of a folder that are read."""

COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".lz4", ".zip")
"""Suffixes of compressed rotated files, which are not read."""

NOT_REGULAR, UNREADABLE, TOO_MANY = "not_regular", "unreadable", "too_many"
REASONS = (NOT_REGULAR, UNREADABLE, TOO_MANY)


@dataclass(frozen=True)
class Seen:
    """A regular file found in a folder."""

    path: str
    identity: tuple[int, int]
    size: int
    modified: float


@dataclass
class FolderListing:
    """The files in the folders."""

    matched: list[Seen] = field(default_factory=list)
    elsewhere: dict[tuple[int, int], Seen] = field(default_factory=dict)
    """All regular files by identity, to find renamed files."""

    folder_bytes: int = 0
    left_out: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))


def list_files(patterns: tuple[Path, ...], largest: int) -> FolderListing:
    """Return the files that match the patterns, most recently written first.

    Raises:
        OSError: a folder cannot be listed.
    """
    listing = FolderListing()
    names: dict[Path, list[str]] = {}
    for pattern in patterns:
        names.setdefault(pattern.parent, []).append(pattern.name)
    for folder, wanted in names.items():
        _list(folder, wanted, listing)
    listing.matched.sort(key=lambda seen: (-seen.modified, seen.path))
    listing.left_out[TOO_MANY] += len(listing.matched[largest:])
    del listing.matched[largest:]
    return listing


def _list(folder: Path, wanted: list[str], listing: FolderListing) -> None:
    with os.scandir(folder) as entries:
        for entry in islice(entries, LARGEST_FOLDER):
            is_wanted = _fits(entry.name, wanted)
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # just rotated
            except OSError:
                listing.left_out[UNREADABLE] += is_wanted
                continue
            if not stat.S_ISREG(found.st_mode):
                # Links may point anywhere, and opening a pipe or device can have side effects.
                listing.left_out[NOT_REGULAR] += is_wanted
                continue
            seen = Seen(entry.path, (found.st_dev, found.st_ino), found.st_size, found.st_mtime)
            listing.folder_bytes += found.st_size
            listing.elsewhere[seen.identity] = seen
            if is_wanted:
                listing.matched.append(seen)
        listing.left_out[TOO_MANY] += sum(1 for _ in islice(entries, 1))


def _fits(name: str, wanted: list[str]) -> bool:
    if name.endswith(COMPRESSED) and name not in wanted:
        return False
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in wanted)
