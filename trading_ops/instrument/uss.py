"""Unique set size (USS) of a process."""

import re
from pathlib import Path

SMAPS = Path("/proc/self/smaps_rollup")
PRIVATE = re.compile(r"^Private_\w+:\s+(\d+) kB$", re.MULTILINE)


def read_uss(path: Path = SMAPS) -> int | None:
    """Return the bytes that only this process uses, or None if the kernel does not report them.

    Takes milliseconds while holding the process's memory map, so it is not for every scrape.
    """
    try:
        text = path.read_text(encoding="ascii")
    except OSError:
        return None
    return 1024 * sum(int(size) for size in PRIVATE.findall(text))
