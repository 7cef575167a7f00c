"""The entries of log files in the exporter's configuration."""

from pathlib import Path
from typing import Annotated

import msgspec

from trading_ops.exporter.databases.entries import Name, Seconds


class LogFilesEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Log files that belong together: those of one bot, for instance."""

    name: Name
    """The value of the label `log`."""

    paths: Annotated[tuple[Path, ...], msgspec.Meta(min_length=1, max_length=20)]
    """Files; the file name, but not the folder, may contain `*`, `?` and `[…]`."""

    interval_seconds: Seconds = 15.0
    timeout_seconds: Seconds = 5.0
    largest_files: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    """Number of most recently written files to read; the others are only counted."""

    largest_read_bytes: Annotated[int, msgspec.Meta(ge=4096, le=64 * 1024 * 1024)] = 1024 * 1024
    """Maximum of new bytes of a file to read at once; the newest ones."""
