"""The class of a database error, whichever driver raises it.

Drivers are recognized by attributes of their errors, so that none has to be imported: SQLite's
error code, PostgreSQL's SQLSTATE, and the exception names of PEP 249.
"""

import sqlite3

_SQLITE = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_INTERRUPT: "timeout",
    sqlite3.SQLITE_CONSTRAINT: "integrity",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "corrupt",
    sqlite3.SQLITE_FULL: "full",
}
_PRIMARY = 0xFF
"""The lowest byte of SQLite's code is the primary code; the rest is the extended code."""

# By the code or by its first two characters, which are its class.
_SQLSTATES = {
    "08": "disconnected",
    "23": "integrity",
    "25P03": "timeout",
    "40001": "locked",
    "40P01": "locked",
    "53100": "full",
    "53300": "disconnected",
    "55P03": "locked",
    "57014": "timeout",
    "57P01": "disconnected",
    "57P02": "disconnected",
    "57P03": "disconnected",
    "57P05": "disconnected",
    "XX001": "corrupt",
    "XX002": "corrupt",
}

_NAMES = {
    "TimeoutError": "timeout",
    "IntegrityError": "integrity",
    "ConnectionError": "disconnected",
    "InterfaceError": "disconnected",
    "ConnectionTimeout": "disconnected",
}
"""By name of the error's class or of one of its bases; the first match counts."""


def kind_of(error: BaseException) -> str:
    """Return one of `DATABASE_ERRORS` for a driver's error, or for an error that wraps it.

    SQLAlchemy keeps the wrapped error in `orig`; other errors are followed by `__cause__`.
    """
    if getattr(error, "connection_invalidated", False) is True:
        return "disconnected"
    inner = getattr(error, "orig", None)
    if isinstance(inner, BaseException):
        error = inner
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return _SQLITE.get(code & _PRIMARY, "other")
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str):
        return _SQLSTATES.get(state) or _SQLSTATES.get(state[:2], "other")
    names = (kind.__name__ for kind in type(error).__mro__)
    found = next((_NAMES[name] for name in names if name in _NAMES), "other")
    if found == "other" and error.__cause__ is not None:
        return kind_of(error.__cause__)
    return found
