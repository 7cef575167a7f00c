"""Reads a secret from its file."""

from pathlib import Path

from trading_ops.errors import ConfigError
from trading_ops.redaction import known

OTHERS = 0o077
LARGEST_SECRET = 16 * 1024


def read_secret(path: Path, key: str, *, private: bool = False) -> str:
    """Return the first line of a file with one secret.

    Args:
        path: the file.
        key: of the configuration, for errors.
        private: refuse a file that others can read.

    Raises:
        ConfigError: it cannot be read, is empty, or others can read it. The message never contains
            the secret.
    """
    fix = f"write the secret into it, as one line, and `chmod 600 {path}`"
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            text = file.read(LARGEST_SECRET).decode("ascii").partition("\n")[0].strip()
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise ConfigError(str(path), key, reason, fix) from error
    except UnicodeError as error:
        raise ConfigError(str(path), key, "not a text file", fix) from error
    if private and mode & OTHERS:
        raise ConfigError(str(path), key, "others can read it", f"chmod 600 {path}")
    if not text:
        raise ConfigError(str(path), key, "its first line is empty", fix)
    return known(text)
