"""Logs: one JSON object per line, in the same format for our code and for libraries.

Lines go to standard error or, with a folder in the policy, to a file of the process, which is
rotated by size and age, compressed and limited in total size. See docs/logs.md.

Event names are past-tense snake case (`attempt_failed`); ids go into fields, never into the name.
`bound` adds IDs to all lines of a piece of work.
"""

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from trading_ops.config.log_policy import LogPolicy
from trading_ops.errors import SetupError
from trading_ops.logs.file import LogFile
from trading_ops.logs.handler import LONGEST_LINE, FileHandler, StreamHandler
from trading_ops.logs.lean_structlog import EventDict, structlog
from trading_ops.redaction import LONGEST_SECRET, redact_start

__all__ = ["LogPolicy", "add_id", "bound", "configure", "flush", "get", "ids"]

_ids: dict[str, Callable[[], str | None]] = {}

bound = structlog.contextvars.bound_contextvars
"""`with bound(order=…):` adds the field to every line that is logged inside, in any module."""


def ids() -> Mapping[str, Any]:
    """Return the currently bound fields, to bind them again in another task or thread."""
    return structlog.contextvars.get_contextvars()


def add_id(name: str, read: Callable[[], str | None]) -> None:
    """Add a field from a callback to each line; omitted while it is None."""
    _ids[name] = read


def configure(
    process: str, *, level: str | None = None, policy: LogPolicy | None = None, **fields: str
) -> None:
    """Write every log record of this process as JSON to the destination of the policy.

    Args:
        process: its name, in each line.
        level: minimum level; by default the policy's.
        policy: by default standard error, from INFO.
        fields: further fields of each line.

    Raises:
        SetupError: the log file cannot be written.
    """
    policy = policy or LogPolicy()
    handler = _handler(policy, process)
    chain = (*_SHARED, _adding({"process": process, **fields}))
    structlog.configure(
        processors=[*chain, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # A cached logger would keep the configuration of its first use.
        cache_logger_on_first_use=False,
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*chain, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
                # Redacts the whole text: keys, values at any depth, tracebacks.
                _redacted,
            ],
        )
    )
    root = logging.getLogger()
    for earlier in root.handlers:
        if isinstance(earlier, FileHandler):
            earlier.close()
    root.handlers[:] = [handler]
    root.setLevel(level or policy.level)
    sys.excepthook = _log_crash
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _log_thread_crash
    # One line per request would hide important lines.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def flush(within_seconds: float = 0.5) -> None:
    """Wait briefly until all lines are written; for an exit without exit handlers."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, FileHandler):
            handler.drain(within_seconds)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module; call with `__name__`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


def _handler(policy: LogPolicy, process: str) -> logging.Handler:
    if policy.folder is None:
        return StreamHandler(sys.stderr)
    path = Path(policy.folder) / f"{policy.name or process}.log"
    try:
        return FileHandler(LogFile(path, policy))
    except OSError as error:
        raise SetupError(
            f"the log {path} cannot be written ({error.strerror or error}). Fix: make the"
            " folder writable for this user, or set TRADING_OPS_LOG_DIR to another one"
        ) from error


def _log_crash(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    """Log an uncaught exception: the interpreter would print it without redaction."""
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger(__name__).critical("process_crashed", exc_info=(kind, error, where))


def _log_thread_crash(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        crash = (ended.exc_type, ended.exc_value, ended.exc_traceback)
        logging.getLogger(__name__).critical("thread_crashed", exc_info=crash)


def _adding(fields: dict[str, str]) -> Callable[[object, str, EventDict], EventDict]:
    def add(_logger: object, _method: str, event: EventDict) -> EventDict:
        for name, value in fields.items():
            event.setdefault(name, value)
        for name, read in _ids.items():
            if (found := read()) is not None:
                event.setdefault(name, found)
        return event

    return add


def _redacted(_logger: object, _method: str, rendered: Any) -> str:
    # The handler truncates longer lines: searching all of them would take tenths of a second.
    return redact_start(rendered, LONGEST_LINE + LONGEST_SECRET + 1)


_SHARED = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
