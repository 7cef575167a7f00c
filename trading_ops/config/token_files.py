"""Files of bearer tokens: one token a line. The first is sent, each one is accepted.

Each bot has a token of its own, so that a token that leaks commands one bot only. An installation
from before that has one file for all bots; it counts for a bot until the bot has its own.
"""

import contextlib
import os
import secrets
from pathlib import Path

TOKEN_BYTES = 32

SHARED = "agent_token"
"""The file of a token for all bots, as older versions wrote it."""


def agent_token_name(bot: str) -> str:
    """Return the name of the file with the token of a bot's agent."""
    return f"{SHARED}_{bot}"


def is_filled(path: Path) -> bool:
    """Say whether a file is there and not empty."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def new_token() -> str:
    """Return a random token."""
    return secrets.token_hex(TOKEN_BYTES)


def write_secret(path: Path, value: str) -> None:
    """Write a file that only its owner can read; a replaced file keeps its owner.

    Raises:
        OSError: it cannot be written.
    """
    # The file gets its name when it is whole: a crash never leaves half a token behind.
    scratch = path.with_name(f".{path.name}.new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with contextlib.suppress(FileNotFoundError):
        was = path.stat()
        os.fchown(descriptor, was.st_uid, was.st_gid)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(value)
    scratch.replace(path)


class TokenFile:
    """The tokens in a file that may be replaced at any time; it is read again when it changes."""

    def __init__(self, path: Path, *, shared: Path | None = None) -> None:
        """Take the file, and the one that counts while that is missing or empty."""
        self.path = path
        self._shared = shared
        self._seen: tuple[object, ...] = ()
        self._tokens: tuple[str, ...] = ()

    @classmethod
    def of_agent(cls, path: Path) -> "TokenFile":
        """Return the file of a bot's agent; the shared one stands in for a file in its folder."""
        usual = path.name.startswith(f"{SHARED}_")
        return cls(path, shared=path.with_name(SHARED) if usual else None)

    @property
    def is_shared(self) -> bool:
        """Whether the shared file counts."""
        return self._shared is not None and not is_filled(self.path) and is_filled(self._shared)

    def read(self) -> tuple[str, ...]:
        """Return the tokens, none of an empty file.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no text.
        """
        path, stat = self._current()
        seen = (path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        if seen != self._seen:
            lines = path.read_bytes().decode("ascii").splitlines()
            self._tokens = tuple(line.strip() for line in lines if line.strip())
            self._seen = seen
        return self._tokens

    def _current(self) -> tuple[Path, os.stat_result]:
        """Return the file that counts, and what tells whether it has changed.

        A file that is replaced after this look differs at the next one.
        """
        with contextlib.suppress(FileNotFoundError):
            stat = self.path.stat()
            if stat.st_size or not self.is_shared:
                return self.path, stat
        path = self._shared if self._shared and self.is_shared else self.path
        return path, path.stat()
