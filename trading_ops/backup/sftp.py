"""Free space of an SFTP repository, which restic does not report."""

import re
import subprocess
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from trading_ops.backup.disk import Space
from trading_ops.config.environment import program_environment

SCHEME = "sftp:"
SECONDS = 60
KIBIBYTE = 1024
_LINE = re.compile(r"^\s*(\d+)\s+\d+\s+(\d+)\s+\d+\s+\d+%\s*$", re.MULTILINE)
"""Size, used, available, (root), %capacity."""


class SftpFolder(NamedTuple):
    """A folder of an SFTP server."""

    server: str
    """In the format of the program `sftp`."""

    path: str


def place(location: str) -> SftpFolder:
    """Return the parts of restic's location: `sftp:user@host:/path` or `sftp://user@host//path`."""
    if location.startswith("sftp://"):
        parts = urlsplit(location)
        return SftpFolder(f"sftp://{parts.netloc}", unquote(parts.path.removeprefix("/")) or ".")
    server, _, path = location.removeprefix(SCHEME).rpartition(":")
    return SftpFolder(server, path or ".")


def space(location: str) -> Space:
    """Return the space of the repository's file system on the server.

    Raises:
        OSError: the server does not answer, requires a password, or does not report it.
    """
    server, path = place(location)
    quoted = path.replace("\\", "\\\\").replace('"', '\\"')
    try:
        done = subprocess.run(
            ["sftp", "-b", "-", "--", server],  # -b: never prompts
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
        output = (done.stderr or done.stdout).strip()[-300:]
        raise OSError(f"sftp does not report the free space: {output}")
    size, available = (int(number) * KIBIBYTE for number in found.groups())
    return Space(free=available, total=size)
