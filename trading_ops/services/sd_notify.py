"""systemd's notification protocol (sd_notify): ready, stopping, and the watchdog.

The watchdog is notified only while the process is healthy, so that systemd restarts a hung process.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

from trading_ops import logs
from trading_ops.config.environment import notification_socket

_log = logs.get(__name__)

FEEDS = 4
"""Notifications per watchdog timeout."""


@contextlib.asynccontextmanager
async def ready(works: Callable[[], bool]) -> AsyncIterator[None]:
    """Notify systemd of ready and stopping, and feed its watchdog.

    Does nothing without systemd.

    Args:
        works: returns whether the process is healthy.
    """
    address, seconds = notification_socket()
    _send(address, "READY=1")
    feeding = asyncio.create_task(_feed(address, seconds / FEEDS, works)) if seconds else None
    try:
        yield
    finally:
        if feeding is not None:
            feeding.cancel()
        _send(address, "STOPPING=1")


async def _feed(address: str, pause: float, works: Callable[[], bool]) -> None:
    while True:
        if works():
            _send(address, "WATCHDOG=1")
        else:
            _log.error(
                "watchdog_not_notified",
                reason="this process is unhealthy",
            )
        await asyncio.sleep(pause)


def _send(address: str, state: str) -> None:
    if not address:
        return
    # A leading @ means an abstract address, which starts with a zero byte.
    path = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sending:
            sending.sendto(state.encode(), path)
    except OSError as error:
        _log.warning("systemd_not_notified", state=state, reason=str(error))
