"""Coverage data of processes that tests kill."""

import re
from pathlib import Path

FINISHED = re.compile(r"\.H[^.]+h(-journal)?$")
"""Coverage gives a data file this ending when it is complete. A process that is killed while it
saves leaves a file without, and combining warns about each."""


def remove_unfinished(folder: Path) -> None:
    """Remove the data files that will never be completed."""
    for file in folder.glob(".coverage.*"):
        if not FINISHED.search(file.name):
            file.unlink(missing_ok=True)
