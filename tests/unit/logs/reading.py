"""Reads all that a log holds, whatever became of its files."""

import gzip
from pathlib import Path

from trading_ops.logs.rotation import files_aside


def lines_of(log: Path) -> list[str]:
    """Return the lines of all files of a log, the oldest first."""
    texts = [_text(path) for path in files_aside(log.parent) if path.name.startswith(log.name)]
    texts += [log.read_bytes()] if log.exists() else []
    return b"".join(texts).decode().splitlines()


def _text(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
