"""What goes into a backup: the configuration, and `var` without what is rebuilt or secret."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from trading_ops.settings import Settings

REBUILT = frozenset({"log", "backup", "versions", "prometheus/data", "alertmanager/data"})
"""Folders in `var`: logs, our scratch, installed releases, samples that Prometheus keeps itself."""

SECRETS = "secrets"
LOCKS = frozenset({"lock", "door", "address"})
BESIDE = ("-wal", "-shm", "-journal", ".lock", ".new", ".sock")
"""Files beside a database, and those that a running process makes anew."""

CONFIGURATION = ("settings.yml", "jobs.yml", "notify.yml", "contacts.yml")
"""In the project's root, where they exist."""


class Source(NamedTuple):
    """One file, and its name in the backup."""

    path: Path
    name: str


def sources(settings: Settings, *, secrets: bool) -> Iterator[Source]:
    """Yield every file of a backup; links are not followed.

    Args:
        settings: of this installation.
        secrets: whether the folders of secrets go along.
    """
    root = settings.root
    places = [
        *(root / name for name in CONFIGURATION),
        *(settings.targets_file, settings.prometheus_config, settings.alertmanager_config),
        settings.runbooks,
    ]
    for place in places:
        name = place.relative_to(root) if place.is_relative_to(root) else Path(place.name)
        for path in _files(place, secrets=secrets):
            yield Source(path, str(Path("config", name, path.relative_to(place))).rstrip("/."))
    for path in _files(settings.var, secrets=secrets):
        yield Source(path, f"var/{path.relative_to(settings.var)}")


def _files(place: Path, *, secrets: bool) -> Iterator[Path]:
    if _is_file(place):
        yield place
    for parent, folders, names in os.walk(place):
        inside = Path(parent).relative_to(place)
        folders[:] = [
            one
            for one in sorted(folders)
            if (inside / one).as_posix() not in REBUILT and (secrets or one != SECRETS)
        ]
        for name in sorted(names):
            path = Path(parent, name)
            if name not in LOCKS and not name.endswith(BESIDE) and _is_file(path):
                yield path


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False  # removed meanwhile
