"""The folders that backups write to, which a sandboxed unit must be allowed to."""

import configparser
from pathlib import Path

from trading_ops.backup.repository import RESTIC, default_folder
from trading_ops.config.settings import Settings

PGBACKREST_REPOSITORY, PGBACKREST_LOG = "/var/lib/pgbackrest", "/var/log/pgbackrest"
"""pgBackRest's defaults of `repo1-path` and `log-path`."""

CREDENTIALS = "backup.env"
"""In the project folder: restic's variables for S3 or a REST server."""


def written_folders(settings: Settings) -> list[Path]:
    """Return the folders on this host that `backup` commands write to."""
    stored = settings.backup_repository
    found = [settings.backup_work]
    if not stored.startswith(RESTIC):
        found.append((settings.root / stored).resolve() if stored else default_folder(settings))
    elif (place := Path(stored.removeprefix(RESTIC))).is_absolute():
        found.append(place.resolve())
    if settings.backup_pgbackrest is not None:
        found += _written_by_pgbackrest(settings.backup_pgbackrest)
    return found


def drop_in(settings: Settings) -> str:
    """Return a drop-in for the systemd unit that takes backups.

    A folder that does not exist is skipped, so that the unit starts without it.
    """
    paths = " ".join(f'"-{_escaped(folder)}"' for folder in written_folders(settings))
    return (
        "# Written by setup.sh from settings.yml: docs/backups.md, “Under systemd”.\n"
        "[Service]\n"
        f"ReadWritePaths={paths}\n"
        f"EnvironmentFile=-{_escaped(settings.root / CREDENTIALS)}\n"
    )


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def _written_by_pgbackrest(path: Path) -> list[Path]:
    parsed = configparser.RawConfigParser(strict=False)
    try:
        parsed.read(path)
    except (OSError, UnicodeError, configparser.Error):
        return []  # pgBackRest itself reports it
    values = {key: value for section in parsed.sections() for key, value in parsed[section].items()}
    repositories = {
        key: value
        for key, value in values.items()
        if key.startswith("repo") and key.endswith("-path")
    }
    return [
        Path(place)
        for place in (
            *(repositories.values() or (PGBACKREST_REPOSITORY,)),
            values.get("log-path", PGBACKREST_LOG),
        )
    ]
