"""Files of secrets: tokens, passwords, keys. Checks who can open one before it is used.

A file of bearer tokens has one per line. The first is sent; all are accepted. Each bot has its own
token, so that a leaked token commands one bot only. Older installations have one file for all bots;
it is used for a bot that has no file of its own yet.
"""

import contextlib
import os
import secrets
import stat
from pathlib import Path
from urllib.parse import quote

from trading_ops import durable
from trading_ops.errors import ConfigError
from trading_ops.redaction import known

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
    """Replace a file atomically, with mode 0600; a replaced file keeps its owner.

    Raises:
        OSError: it cannot be written.
    """
    scratch = path.with_name(f".{path.name}.new")
    with durable.new_file(scratch) as file:
        with contextlib.suppress(FileNotFoundError):
            was = path.stat()
            os.fchown(file.fileno(), was.st_uid, was.st_gid)
        file.write(value.encode("ascii"))
    durable.put(scratch, path)


def read_password(path: Path) -> str:
    """Return the password in a file that only its owner can read.

    Raises:
        ConfigError: it cannot be read, others can read it, or it is empty.
    """
    try:
        mode = path.stat().st_mode & 0o077
        password = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeError) as error:
        fix = "make it a one-line text file that this user can read"
        raise ConfigError(str(path), "", type(error).__name__, fix) from error
    if mode:
        raise ConfigError(str(path), "", "others can read it", f"chmod go= {path}")
    if not password:
        raise ConfigError(str(path), "", "it is empty", "write the password to it, or delete it")
    return password


def refuse_exposed(path: Path) -> None:
    """Refuse a secret that every user of this machine can read or write.

    Any mode is accepted in a folder that only its owner or group can enter: containers get their
    secrets with mode 0444. Group access is allowed.

    Raises:
        ConfigError: every user can open it.
        OSError: it, or a parent folder, cannot be examined.
    """
    real = path.resolve(strict=True)
    found = real.stat().st_mode
    mode = stat.S_IMODE(found)
    if not stat.S_ISREG(found):
        return  # such as a pipe of the shell: `<(…)`
    if mode & 0o006 and all(folder.stat().st_mode & 0o001 for folder in real.parents):
        problem = f"every local user can open it (mode {mode:04o})"
        raise ConfigError(str(path), "", problem, f"chmod 600 {path}")


def first_line(path: Path, fix: str) -> str:
    """Return the first line of a file, such as a token.

    Raises:
        ConfigError: it cannot be read, is empty, or every user can open it; `fix` is for the first
        two.
    """
    try:
        refuse_exposed(path)
        line = path.read_text(encoding="ascii").partition("\n")[0].strip()
    except OSError as error:
        raise ConfigError(str(path), "", error.strerror or "unreadable", fix) from error
    except UnicodeError as error:
        raise ConfigError(str(path), "", "not a text file", fix) from error
    if not line:
        raise ConfigError(str(path), "", "the first line is empty", fix)
    return line


def credentials(path: Path) -> str:
    """Return the one line `user:password` of a file that only its owner can read.

    Raises:
        ConfigError: it is missing or invalid, or others can read it.
    """
    fix = f"umask 077; printf 'USER:PASSWORD\\n' > {path}"
    try:
        mode = path.stat().st_mode & 0o077
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        problem = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(str(path), "", problem.lower(), fix) from error
    if mode:
        raise ConfigError(str(path), "", "others can read it", f"chmod go= {path}")
    user, _, password = text.partition(":")
    if not (user and password and text.isprintable()):
        raise ConfigError(str(path), "", "expected one line, user:password", fix)
    known(password)
    return text


def secrets_of(path: Path) -> tuple[str, ...]:
    """Return the secrets of a file: one per line, two during a rotation.

    Raises:
        ConfigError: there is none, the file cannot be read, or every user can open it.
    """
    try:
        refuse_exposed(path)
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeError) as error:
        raise ConfigError(str(path), "", str(error), "run `trading-ops up` once") from error
    found = tuple(known(line.strip()) for line in lines if line.strip())
    if not found:
        # An empty token would admit every client that sends none.
        raise ConfigError(str(path), "", "it is empty", "delete it and run `trading-ops up`")
    return found


def url_with_password(url: str, path: Path) -> str:
    """Return a URL with the password from a file, unless it needs none or there is no file."""
    scheme, _, rest = url.partition("://")
    place, slash, database = rest.partition("/")
    user, at, host = place.rpartition("@")
    if scheme == "sqlite" or ":" in user or "passfile=" in rest or not path.exists():
        return url
    password = quote(known(read_password(path)), safe="")
    return f"{scheme}://{user if at else ''}:{password}@{host}{slash}{database}"


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
        path, now = self._current()
        seen = (path, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
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
            now = self.path.stat()
            if now.st_size or not self.is_shared:
                return self.path, now
        path = self._shared if self._shared and self.is_shared else self.path
        return path, path.stat()
