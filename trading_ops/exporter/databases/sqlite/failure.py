"""Why a SQLite file cannot be read."""

import errno
import sqlite3

from trading_ops.errors import ClientError

MISSING, NOT_A_FILE, PERMISSION, CORRUPT, LOCKED = (
    "missing",
    "not_a_file",
    "permission",
    "corrupt",
    "locked",
)
NEEDS_RECOVERY, TOO_SLOW, CHANGED, INPUT_OUTPUT, OTHER = (
    "needs_recovery",
    "too_slow",
    "changed",
    "input_output",
    "error",
)

_CODES = {
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_CORRUPT: CORRUPT,
    sqlite3.SQLITE_NOTADB: CORRUPT,
    sqlite3.SQLITE_PERM: PERMISSION,
    sqlite3.SQLITE_AUTH: PERMISSION,
    sqlite3.SQLITE_CANTOPEN: PERMISSION,
    # A process with write access must roll back the journal or recover the WAL before any read.
    sqlite3.SQLITE_READONLY: NEEDS_RECOVERY,
    sqlite3.SQLITE_IOERR: INPUT_OUTPUT,
    sqlite3.SQLITE_INTERRUPT: TOO_SLOW,
}
_ERRNOS = {
    errno.ENOENT: MISSING,
    errno.ENOTDIR: MISSING,
    errno.EACCES: PERMISSION,
    errno.EPERM: PERMISSION,
}
PRIMARY_CODE = 0xFF


class SqliteFailure(ClientError):
    """A file could not be read."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


def of_sqlite(error: sqlite3.Error) -> SqliteFailure:
    """Return the failure for an error of the sqlite3 module."""
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
    return SqliteFailure(_CODES.get(code, OTHER), str(error) or type(error).__name__)


def of_system(error: OSError) -> SqliteFailure:
    """Return the failure for an OSError."""
    reason = _ERRNOS.get(error.errno or 0, INPUT_OUTPUT)
    detail = error.strerror or str(error)
    return SqliteFailure(reason, f"{error.filename}: {detail}" if error.filename else detail)
