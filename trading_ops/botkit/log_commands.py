"""Commands that keep the bot's own house: its log files, and what they take of the disk.

They need nothing of the bot's loop but that it turns: the work is done in a thread.
"""

import asyncio

from trading_ops.agent import Command, CommandFailed, Params
from trading_ops.logs import tidying
from trading_ops.logs.handler import FileHandler

ROTATE_SECONDS = 5.0
"""For the thread that writes the log to answer."""

DEADLINE_SECONDS = 30.0
"""A file of ten megabytes is compressed in a second; a disk in trouble takes longer."""

NO_FILE = (
    "this process logs to standard error, and whoever started it keeps that: "
    "set TRADING_OPS_LOG_DIR to have it keep a file of its own"
)


def log_commands() -> dict[str, Command]:
    """Return the commands by name."""
    return {
        "rotate_logs": Command(run=_rotate_logs, deadline_seconds=DEADLINE_SECONDS),
        "free_disk": Command(run=_free_disk, deadline_seconds=DEADLINE_SECONDS),
    }


async def _rotate_logs(_params: Params) -> str:
    handler = _log_file()
    try:
        done = await asyncio.to_thread(tidying.rotate, handler, ROTATE_SECONDS)
    except OSError as error:
        raise CommandFailed(f"the log could not be moved aside: {error}") from error
    aside = "it held nothing, and was kept" if done.aside is None else f"now {done.aside.name}"
    return (
        f"{handler.file.path.name}: {aside}; {done.compressed} earlier files were compressed; "
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
        raise CommandFailed(f"nothing that is ours to remove takes any room; {left}")
    return (
        f"{done.freed_bytes} bytes were freed: {done.removed} old log files were removed, "
        f"{done.compressed} compressed; {left}"
    )


def _log_file() -> FileHandler:
    handler = tidying.file_handler()
    if handler is None:
        raise CommandFailed(NO_FILE)
    return handler
