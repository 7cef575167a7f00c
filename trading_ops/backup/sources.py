"""The files of a backup: the configuration, and `var` without secrets and rebuilt folders."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Kind
from trading_ops.errors import TradingOpsError

REBUILT = frozenset({"log", "backup", "versions", "prometheus/data"})
"""Folders in `var` that are not backed up: logs, scratch folders, releases, Prometheus data."""

BOTS = "bots"
"""Folder in a backup with the records of bots outside of `var`."""

LOGS = frozenset({"log", "logs"})
ARCHIVE = "archive"
"""In `var`: removed events and incidents."""

SECRETS = "secrets"
PRIVATE_KEY = ".key"
"""Suffix of the private keys of certificates: secrets too, wherever they are."""

RESTORED = "*restored-*"
"""Folders in `var` into which a backup was restored."""

LOCKS = frozenset({"lock", "door", "address"})
BESIDE = ("-wal", "-shm", "-journal", ".lock", ".new", ".sock")
"""Lock files, and files that a running process recreates."""

CONFIGURATION = ("settings.yml", "notify.yml", "contacts.yml")
"""Files and folders of the project folder, if they exist."""

BESIDE_TARGETS = ("jobs.yml", "maintenance.yml")
"""Beside targets.yml, where they exist."""


class BackupSource(NamedTuple):
    """One file, and its name in the backup."""

    path: Path
    name: str


def sources(settings: Settings, *, secrets: bool) -> Iterator[BackupSource]:
    """Yield every file of a backup but the archive; links are not followed.

    Args:
        settings: of this installation.
        secrets: whether to include the folders with secrets, and private keys.
    """
    root = settings.root
    places = [
        *(root / name for name in CONFIGURATION),
        *(settings.targets_file.with_name(name) for name in BESIDE_TARGETS),
        *(settings.targets_file, settings.prometheus_config, settings.alertmanager_config),
        settings.runbooks,
    ]
    for place in places:
        name = place.relative_to(root) if place.is_relative_to(root) else Path(place.name)
        for path in _files(place, secrets=secrets):
            yield BackupSource(
                path, str(Path("config", name, path.relative_to(place))).rstrip("/.")
            )
    restored = (path.name for path in settings.var.glob(RESTORED))
    left_out = REBUILT | venue_folders(settings) | {ARCHIVE, *restored}
    for path in _files(settings.var, secrets=secrets, left_out=left_out):
        yield BackupSource(path, f"var/{path.relative_to(settings.var)}")


def bot_sources(name: str, folder: Path, *, secrets: bool) -> Iterator[BackupSource]:
    """Yield the files of an entry of `backup_folders`, except logs.

    Raises:
        OSError: the folder, or one in it, cannot be read.
    """
    for path in _files(folder, secrets=secrets, left_out=LOGS, refuse=True):
        yield BackupSource(path, f"{BOTS}/{name}/{path.relative_to(folder)}")


def archive_sources(settings: Settings) -> Iterator[BackupSource]:
    """Yield the files of the archive."""
    for path in _files(settings.archive, secrets=False):
        yield BackupSource(path, f"var/{ARCHIVE}/{path.relative_to(settings.archive)}")


def venue_folders(settings: Settings) -> frozenset[str]:
    """Return the folders of local paper venues in `var`.

    They are not backed up: an exchange's state is not ours to restore, and the paper venue locks
    its database.
    """
    try:
        venues = load_targets(settings.targets_file).of_kind(Kind.VENUE)
    except TradingOpsError:
        return frozenset()
    return frozenset(venue.service.unit for venue in venues if venue.service)


def _files(
    place: Path,
    *,
    secrets: bool,
    left_out: frozenset[str] = frozenset(),
    refuse: bool = False,
) -> Iterator[Path]:
    if _is_file(place):
        yield place
    for parent, folders, names in os.walk(place, onerror=_refused if refuse else None):
        inside = Path(parent).relative_to(place)
        folders[:] = [
            folder
            for folder in sorted(folders)
            if (inside / folder).as_posix() not in left_out and (secrets or folder != SECRETS)
        ]
        for name in sorted(names):
            path = Path(parent, name)
            if name in LOCKS or name.endswith(BESIDE):
                continue
            if (secrets or path.suffix != PRIVATE_KEY) and _is_file(path):
                yield path


def _refused(error: OSError) -> None:
    raise error


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False  # deleted in the meantime
