"""Reasons for missing metrics: a fixed set of label values."""

import psycopg

from trading_ops.errors import TradingOpsError

CONNECTION = "connection"
"""The `reading` label of a missing connection."""

PRIVILEGE, VERSION, TIMEOUT, LOCK, OTHER = "privilege", "version", "timeout", "lock", "error"
SILENT, UNREACHABLE, SLOTS, LOGIN, NOT_READY, CONFIG = (
    "silent",
    "unreachable",
    "no_slot",
    "login",
    "not_ready",
    "configuration",
)

_STATES = {
    "42501": PRIVILEGE,
    "57014": TIMEOUT,
    "55P03": LOCK,
    "42883": VERSION,
    "42P01": VERSION,
    "42703": VERSION,
    "53300": SLOTS,
    "57P01": NOT_READY,
    "57P02": NOT_READY,
    "57P03": NOT_READY,
}

_MESSAGES = {
    "too many clients": SLOTS,
    "connection slots are reserved": SLOTS,
    "too many connections for": SLOTS,
    "authentication failed": LOGIN,
    "no pg_hba.conf entry": LOGIN,
    "no password supplied": LOGIN,
    "is not permitted to log in": LOGIN,
    "does not exist": LOGIN,
    "starting up": NOT_READY,
    "shutting down": NOT_READY,
    "in recovery mode": NOT_READY,
    "not yet accepting connections": NOT_READY,
}
"""Messages of a server that rejects connections; libpq does not report the error code."""

FIXES = {
    PRIVILEGE: "GRANT pg_read_all_stats TO the role of the exporter",
    VERSION: "the server is too old for it",
    LOCK: "a system table is locked",
}


def reason_of(error: BaseException) -> str:
    """Return the reason for the error of a query or of a connection attempt."""
    if isinstance(error, psycopg.Error):
        if error.sqlstate:
            return _STATES.get(error.sqlstate, OTHER)
        message = str(error)
        return next((reason for text, reason in _MESSAGES.items() if text in message), UNREACHABLE)
    return CONFIG if isinstance(error, TradingOpsError) else OTHER
