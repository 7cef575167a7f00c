"""Where a process logs to, and how much of it is kept."""

from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1024 * 1024
DAY_SECONDS = 86_400.0


@dataclass(frozen=True, kw_only=True)
class LogPolicy:
    """The defaults are those of the settings `log_…`."""

    folder: Path | None = None
    """Of the log files; None: the log goes to standard error, for whoever started the process."""

    name: str = ""
    """Of the process's file, without `.log`; empty: the name of the process."""

    level: str = "INFO"

    file_bytes: int = 10 * MEGABYTE
    """A file that would grow beyond this is moved aside first."""

    file_seconds: float = DAY_SECONDS
    """A file holds lines of one such span only, counted from the epoch; of a day, in UTC."""

    kept_seconds: float = 30 * DAY_SECONDS
    """For which a file that was moved aside is kept."""

    folder_bytes: int = 200 * MEGABYTE
    """Of all that is in the folder; the oldest files that were moved aside go first."""
