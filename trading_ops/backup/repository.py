"""The interface of backup repositories, and the selection of an implementation.

`backup_repository` in `settings.yml` is a folder, or `restic:` and a restic location.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from trading_ops.backup.disk import Space
from trading_ops.backup.manifest import Manifest
from trading_ops.config.settings import Settings

RESTIC = "restic:"
DEFAULT = "backups"
"""The folder next to `var` that is used when the setting is empty."""


class RepositoryListing(NamedTuple):
    """The content of a repository."""

    manifests: Sequence[Manifest]
    """Oldest first."""

    damaged: Sequence[str]
    """One sentence for each backup whose manifest cannot be read."""


class Repository(Protocol):
    """Stores backups. A complete backup survives a kill at any moment."""

    @property
    def encrypted(self) -> bool:
        """Whether the stored data is encrypted."""

    @property
    def location(self) -> str:
        """Its location, human-readable."""

    def add(self, staging: Path, manifest: Manifest) -> None:
        """Store the files of a folder; the manifest, stored last, makes the backup exist.

        Raises:
            TradingOpsError: it could not be stored.
        """

    def listing(self) -> RepositoryListing:
        """List the stored backups.

        Raises:
            TradingOpsError: the repository cannot be read.
        """

    def fetch(self, manifest: Manifest, into: Path) -> None:
        """Write the files of a backup into an empty folder; the caller verifies them.

        Raises:
            Damaged: a file is missing or was changed.
            TradingOpsError: the repository cannot be read.
        """

    def space(self) -> Space | None:
        """Return the space of its file system; None: unknown.

        Raises:
            OSError: it cannot be read.
        """

    def remove(self, ids: Collection[str]) -> None:
        """Remove backups, and the data that no other backup needs.

        Raises:
            TradingOpsError: the repository cannot be changed.
        """


def open_repository(settings: Settings) -> Repository:
    """Return the repository of the settings.

    Raises:
        SetupError: restic is not installed, or has no password.
    """
    wanted = settings.backup_repository
    if wanted.startswith(RESTIC):
        from trading_ops.backup.restic import ResticRepository  # noqa: PLC0415 - only if it is used

        return ResticRepository(
            wanted.removeprefix(RESTIC), settings.backup_password, work=settings.backup_work
        )
    from trading_ops.backup.folder import FolderRepository  # noqa: PLC0415 - see above

    folder = settings.root / wanted if wanted else default_folder(settings)
    return FolderRepository(folder.resolve())


def default_folder(settings: Settings) -> Path:
    """Return the folder that is used when the setting is empty."""
    return settings.var.parent / DEFAULT
