"""Reads all that a log holds, whatever became of its files."""

import gzip
from pathlib import Path

from trading_ops.logs.rotation import files_aside


def lines_of(log: Path) -> list[str]:
    """Return the lines of all files of a log, the oldest first.

    A process that was killed after it had compressed a file may have left the file beside it; the
    next one removes it in a moment of its own.
    """
    files = [path for path in files_aside(log.parent) if path.name.startswith(log.name)]
    left = {path.with_name(f"{path.name}.gz") for path in files}
    texts = [_text(path) for path in files if path not in left]
    texts += [log.read_bytes()] if log.exists() else []
    return b"".join(texts).decode().splitlines()


def _text(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
