"""Files of bearer tokens: one per line. The first is sent; all are accepted.

Each bot has its own token, so that a leaked token commands one bot only. Older installations have
one file for all bots; it is used for a bot that has no file of its own yet.
"""

import contextlib
import os
import secrets
from pathlib import Path

TOKEN_BYTES = 32

SHARED = "agent_token"
"""Name of the shared token file of older versions."""


def agent_token_name(bot: str) -> str:
    """Return the name of the token file of a bot's agent."""
    return f"{SHARED}_{bot}"


def is_filled(path: Path) -> bool:
    """Whether a file exists and is not empty."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def new_token() -> str:
    """Return a random token."""
    return secrets.token_hex(TOKEN_BYTES)


def write_secret(path: Path, value: str) -> None:
    """Write a file with mode 0600; a replaced file keeps its owner.

    Raises:
        OSError: it cannot be written.
    """
    # Renamed into place when complete: a crash never leaves a partial token.
    scratch = path.with_name(f".{path.name}.new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with contextlib.suppress(FileNotFoundError):
        was = path.stat()
        os.fchown(descriptor, was.st_uid, was.st_gid)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(value)
    scratch.replace(path)


class TokenFile:
    """The tokens of a file, reloaded when it changes."""

    def __init__(self, path: Path, *, shared: Path | None = None) -> None:
        """Set the file, and a fallback that is used while it is missing or empty."""
        self.path = path
        self._shared = shared
        self._seen: tuple[object, ...] = ()
        self._tokens: tuple[str, ...] = ()

    @classmethod
    def of_agent(cls, path: Path) -> "TokenFile":
        """Return the token file of a bot's agent, with the shared file as fallback."""
        folder_name = path.name.startswith(f"{SHARED}_")
        return cls(path, shared=path.with_name(SHARED) if folder_name else None)

    @property
    def is_shared(self) -> bool:
        """Whether the shared file is used."""
        return self._shared is not None and not is_filled(self.path) and is_filled(self._shared)

    def read(self) -> tuple[str, ...]:
        """Return the tokens; an empty file has none.

        Raises:
            OSError: the file cannot be read.
            ValueError: the file is not text.
        """
        path, stat = self._current()
        seen = (path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        if seen != self._seen:
            lines = path.read_bytes().decode("ascii").splitlines()
            self._tokens = tuple(line.strip() for line in lines if line.strip())
            self._seen = seen
        return self._tokens

    def _current(self) -> tuple[Path, os.stat_result]:
        """Return the file in use, and its change marker.

        A file that is replaced after this call has another marker in the next one.
        """
        with contextlib.suppress(FileNotFoundError):
            stat = self.path.stat()
            if stat.st_size or not self.is_shared:
                return self.path, stat
        path = self._shared if self._shared and self.is_shared else self.path
        return path, path.stat()
