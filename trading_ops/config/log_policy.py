"""Where a process logs to, and log rotation and retention."""

from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1024 * 1024
DAY_SECONDS = 86_400.0


@dataclass(frozen=True, kw_only=True)
class LogPolicy:
    """The defaults are those of the settings `log_…`."""

    folder: Path | None = None
    """Folder of the log files; None: log to standard error."""

    name: str = ""
    """Name of the log file, without `.log`; empty: the name of the process."""

    level: str = "INFO"

    file_bytes: int = 10 * MEGABYTE
    """Size at which a file is rotated."""

    file_seconds: float = DAY_SECONDS
    """A file is rotated at multiples of this since the epoch; with a day, at midnight UTC."""

    kept_seconds: float = 30 * DAY_SECONDS
    """Retention of rotated files."""

    folder_bytes: int = 200 * MEGABYTE
    """Limit of the whole folder; the oldest rotated files are removed first."""
