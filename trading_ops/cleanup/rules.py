"""Finds files that are no longer needed, with the reason; see docs/jobs.md, "Clean-up".

It searches only `var`, the folder of the logs and, for interrupted restores, the project folder.
Files that an operator or a restore could need are never removed: databases, records, backups,
secrets, releases, and the data of Prometheus and Alertmanager. (Which release the bot of another
user runs cannot be determined from here.)
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from trading_ops import clock
from trading_ops.backup.repository import RESTIC
from trading_ops.backup.sources import venue_folders
from trading_ops.cleanup import inside
from trading_ops.cleanup.inside import FoundFile
from trading_ops.config.settings import Settings
from trading_ops.logs import rotation

LEFT_BEHIND_SECONDS = 86_400.0
"""A temporary file exists for seconds; after a day, its writer has ended."""

UNFINISHED = re.compile(
    r"^\..+\.new$"  # temporary files of durable
    r"|^.+\.log\.\d{8}T\d{6}\.\d{6}(-\d+)?\.gz\.part$"
)
"""Names of incomplete files that replace another file when complete."""

RESTORING = re.compile(r"^\.restored-.+\.partial$|^\..+\.restoring$")
SCRATCH = ("create", "verify")
CACHE = "restic-cache"
RELEASES = "versions"
NOT_ENTERED = frozenset(
    {"prometheus/data", "alertmanager/data", "backup", RELEASES, "log", "secrets"}
)
OVER = 2
"""A log this many times larger than its limit belongs to a process that does not rotate."""


class CleanupReason(StrEnum):
    """Why something is not needed."""

    TEMPORARY = "temporary file"
    INTERRUPTED = "interrupted backup or restore"
    CACHE = "unused cache"
    LOG = "old log"
    LARGE_LOG = "large log"
    """Is compressed into a new file and truncated, because its process does not rotate it."""


@dataclass(frozen=True)
class Leftover:
    """A file or folder that is not needed."""

    found: FoundFile
    kind: CleanupReason
    reason: str


def leftovers(settings: Settings) -> list[Leftover]:
    """Return everything that is not needed, without changing anything.

    Raises:
        OSError: a folder could not be read.
    """
    now = clock.timestamp()
    return [
        *_temporary(settings, now),
        *_interrupted(settings, now),
        *_caches(settings),
        *_logs(settings, now),
    ]


def _temporary(settings: Settings, now: float) -> Iterator[Leftover]:
    left_out = NOT_ENTERED | venue_folders(settings)
    for base, skipped in ((settings.var, left_out), (settings.logs, frozenset[str]())):
        for found in inside.files(base, skipped) if base.is_dir() else ():
            age = now - found.modified
            if UNFINISHED.match(found.path.name) and age > LEFT_BEHIND_SECONDS:
                yield Leftover(
                    found, CleanupReason.TEMPORARY, f"{_days(age)} old; its writer has ended"
                )


def _interrupted(settings: Settings, now: float) -> Iterator[Leftover]:
    work, var = settings.backup_work, settings.var
    if work.is_relative_to(var):
        for found in inside.entries(var, str(work.relative_to(var))):
            if found.path.name in SCRATCH and now - found.modified > LEFT_BEHIND_SECONDS:
                yield Leftover(
                    found, CleanupReason.INTERRUPTED, "no backup or restore test uses it"
                )
    for found in inside.entries(settings.root) if var.parent == settings.root else ():
        if RESTORING.match(found.path.name) and now - found.modified > LEFT_BEHIND_SECONDS:
            yield Leftover(found, CleanupReason.INTERRUPTED, "the restore did not finish")


def _caches(settings: Settings) -> Iterator[Leftover]:
    work, var = settings.backup_work, settings.var
    if settings.backup_repository.startswith(RESTIC) or not work.is_relative_to(var):
        return
    for found in inside.entries(var, str(work.relative_to(var))):
        if found.path.name == CACHE:
            yield Leftover(
                found, CleanupReason.CACHE, "backup_repository is not a restic repository"
            )


def _logs(settings: Settings, now: float) -> Iterator[Leftover]:
    policy, folder = settings.log_policy, settings.logs
    if not folder.is_dir() or folder.is_symlink():
        return
    found = {entry.path: entry for entry in inside.entries(folder)}
    large = [
        file
        for path, file in found.items()
        if path.suffix == ".log" and file.bytes > OVER * policy.file_bytes
    ]
    for file in large:
        limit = f"log_file_megabytes is {settings.log_file_megabytes:g}"
        yield Leftover(
            file, CleanupReason.LARGE_LOG, f"its process does not rotate it, and {limit}"
        )
    for path, reason in rotation.excess(
        policy, folder, now, freed=sum(file.bytes for file in large)
    ):
        if path in found:
            yield Leftover(found[path], CleanupReason.LOG, reason)


def _days(seconds: float) -> str:
    return f"{seconds / 86_400:.0f} d"
