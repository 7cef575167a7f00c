"""Commands for the bot's own log files: rotate them, and free the disk space they use.

The work is done in a thread, so it does not block the event loop.

    agent = Agent(..., commands={**log_commands(), **throttle_commands(throttle)})
"""

import asyncio

from trading_ops.agent import Command, CommandFailed, Params
from trading_ops.logs import tidying
from trading_ops.logs.handler import FileHandler

ROTATE_SECONDS = 5.0
"""How long to wait for the thread that writes the log."""

DEADLINE_SECONDS = 30.0
"""Deadline of a command: compressing 10 MB takes about a second, more on a slow disk."""

NO_FILE = (
    "this process logs to standard error and has no log file. "
    "Fix: set TRADING_OPS_LOG_DIR to have it write one"
)


def log_commands() -> dict[str, Command]:
    """Return the commands `rotate_logs` and `free_disk`; both fail without a log file."""
    return {
        "rotate_logs": Command(run=_rotate_logs, deadline_seconds=DEADLINE_SECONDS),
        "free_disk": Command(run=_free_disk, deadline_seconds=DEADLINE_SECONDS),
    }


async def _rotate_logs(_params: Params) -> str:
    handler = _log_file()
    try:
        done = await asyncio.to_thread(tidying.rotate, handler, ROTATE_SECONDS)
    except OSError as error:
        raise CommandFailed(f"the log could not be rotated: {error}") from error
    rotated = "not rotated, it is empty" if done.aside is None else f"rotated to {done.aside.name}"
    return (
        f"{handler.file.path.name}: {rotated}; {done.compressed} earlier files were compressed; "
        f"the folder holds {done.folder_bytes} bytes"
    )


async def _free_disk(_params: Params) -> str:
    handler = _log_file()
    try:
        done = await asyncio.to_thread(tidying.free, handler)
    except OSError as error:
        raise CommandFailed(f"old log files could not all be removed: {error}") from error
    left = f"{done.free_bytes} bytes are free on {handler.file.path.parent}"
    if not done.freed_bytes:
        raise CommandFailed(f"there are no old log files to remove; {left}")
    return (
        f"{done.freed_bytes} bytes were freed: {done.removed} old log files were removed, "
        f"{done.compressed} compressed; {left}"
    )


def _log_file() -> FileHandler:
    handler = tidying.file_handler()
    if handler is None:
        raise CommandFailed(NO_FILE)
    return handler
