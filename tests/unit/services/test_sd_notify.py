"""systemd is notified when the process is ready and stops; only work feeds its watchdog."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from trading_ops.config.environment import notification_socket
from trading_ops.services import sd_notify


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket that systemd listens on, with a short path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.setblocking(False)
        address = f"@trading-ops-test-{tmp_path.name}-{id(listening)}"
        listening.bind("\0" + address[1:])
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield listening


async def received(systemd: socket.socket, count: int) -> list[str]:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(60):
        return [(await loop.sock_recv(systemd, 100)).decode() for _ in range(count)]


async def test_ready_fed_and_stopping(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "4000")
    async with sd_notify.ready(lambda: True):
        assert await received(systemd, 3) == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
    rest = []
    while "STOPPING=1" not in rest:
        rest += await received(systemd, 1)
    assert set(rest) <= {"WATCHDOG=1", "STOPPING=1"}


async def test_a_process_that_does_no_work_is_not_fed(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next message after it is ready is that it stops."""
    monkeypatch.setenv("WATCHDOG_USEC", "4000")
    asked = asyncio.Event()

    def works() -> bool:
        asked.set()
        return False

    async with sd_notify.ready(works):
        async with asyncio.timeout(60):
            await asked.wait()
    assert await received(systemd, 2) == ["READY=1", "STOPPING=1"]


async def test_without_a_watchdog_nothing_is_fed(systemd: socket.socket) -> None:
    async with sd_notify.ready(lambda: True):
        pass
    assert await received(systemd, 2) == ["READY=1", "STOPPING=1"]


async def test_a_socket_that_is_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/notify")
    async with sd_notify.ready(lambda: True):
        pass


def test_the_environment_of_systemd() -> None:
    assert notification_socket({}) == ("", 0.0)
    given = {"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "60000000"}
    assert notification_socket(given) == ("/run/systemd/notify", 60.0)
