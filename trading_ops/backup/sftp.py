"""Free space of a repository that restic reaches by SFTP; restic itself does not tell it."""

import re
import subprocess
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from trading_ops.backup.durable import Space
from trading_ops.config.settings import program_environment

SCHEME = "sftp:"
SECONDS = 60
KIBIBYTE = 1024
_LINE = re.compile(r"^\s*(\d+)\s+\d+\s+(\d+)\s+\d+\s+\d+%\s*$", re.MULTILINE)
"""Size, used, available, (root), %capacity."""


class Place(NamedTuple):
    """A folder of an SFTP server."""

    server: str
    """As the program `sftp` takes it."""

    path: str


def place(location: str) -> Place:
    """Return the parts of restic's location: `sftp:user@host:/path` or `sftp://user@host//path`."""
    if location.startswith("sftp://"):
        parts = urlsplit(location)
        return Place(f"sftp://{parts.netloc}", unquote(parts.path.removeprefix("/")) or ".")
    server, _, path = location.removeprefix(SCHEME).rpartition(":")
    return Place(server, path or ".")


def space(location: str) -> Space:
    """Ask the server for the space of the repository's file system.

    Raises:
        OSError: it does not answer, asks for a password, or does not tell.
    """
    server, path = place(location)
    quoted = path.replace("\\", "\\\\").replace('"', '\\"')
    try:
        done = subprocess.run(
            ["sftp", "-b", "-", "--", server],  # -b: asks for nothing
            input=f'df "{quoted}"\n',
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=SECONDS,
            env=program_environment(LC_ALL="C"),
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"sftp did not answer within {SECONDS} s") from error
    found = _LINE.search(done.stdout)
    if done.returncode or found is None:
        said = (done.stderr or done.stdout).strip()[-300:]
        raise OSError(f"sftp does not tell the free space: {said}")
    size, available = (int(number) * KIBIBYTE for number in found.groups())
    return Space(free=available, total=size)
