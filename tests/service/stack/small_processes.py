"""Small real processes for tests of the supervisor, and ways to wait for them."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import aiohttp

from tests.free_ports import free_port
from trading_ops.domain.target import Restarts
from trading_ops_lab.supervisor.process import AskBanner, Process
from trading_ops_lab.supervisor.restart_backoff import RestartPauses
from trading_ops_lab.supervisor.supervisor import Supervisor

PATIENCE_SECONDS = 120.0

REPOSITORY = Path(__file__).parents[3]

FAST = RestartPauses(first_pause_seconds=0.01, longest_pause_seconds=0.05)

GREETER = """
import pathlib, signal, socket, sys
name, port, folder, mode = sys.argv[1:5]
def end(*_):
    with open(pathlib.Path(folder, "ended"), "a") as file:
        file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "stubborn" else end)
with open(pathlib.Path(folder, "started"), "a") as file:
    file.write(name + "\\n")
if mode == "parent":
    import subprocess
    offspring = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    pathlib.Path(folder, "offspring").write_text(f"{offspring.pid}\\n")
if mode == "broken":
    sys.exit("no such venue")
with socket.create_server(("127.0.0.1", int(port))) as server:
    while True:
        client, _ = server.accept()
        with client:
            client.sendall(b"220 hello\\r\\n" if mode != "silent" else b"500 no\\r\\n")
"""
"""Says hello on a port; keeps a list of who started and who was asked to end."""


def greeter(
    name: str,
    folder: Path,
    *,
    mode: str = "plain",
    port: int | None = None,
    after: tuple[str, ...] = (),
    restarts: Restarts = Restarts.MANAGER,
    ready_seconds: float = PATIENCE_SECONDS,
    stop_seconds: float = PATIENCE_SECONDS,
) -> Process:
    """Return the plan of a process that says hello."""
    port = port or free_port()
    address = f"127.0.0.1:{port}"
    return Process(
        unit=name,
        argv=(sys.executable, "-c", GREETER, name, str(port), str(folder), mode),
        address=address,
        ready=AskBanner(address=address, begins="220 "),
        after=after,
        restarts=restarts,
        ready_seconds=ready_seconds,
        stop_seconds=stop_seconds,
    )


def venue_and_bot(folder: Path, ports: Sequence[int]) -> tuple[Process, ...]:
    """Return the plans of two processes on these ports."""
    return (
        greeter("venue", folder, port=ports[0]),
        greeter("bot", folder, port=ports[1], after=("venue",)),
    )


@contextlib.asynccontextmanager
async def supervising(
    folder: Path,
    *plans: Process,
    pauses: RestartPauses = FAST,
    log_folder: Path | None = None,
    survivors: Mapping[str, str] | None = None,
) -> AsyncIterator[Supervisor]:
    """Give a supervisor of these processes, and drain it in the end."""
    async with aiohttp.ClientSession() as session:
        supervisor = Supervisor(
            plans,
            folder=folder,
            log_folder=log_folder or folder,
            var=folder,
            record=folder / "processes.json",
            session=session,
            survivors=survivors,
            pauses=pauses,
        )
        try:
            yield supervisor
        finally:
            await supervisor.drain()


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that a real process does."""

    async def ask() -> bool:
        return true()

    await until_true(ask)


async def until_true(ask: Callable[[], Awaitable[bool]]) -> None:
    """Ask someone else's process again and again until it says yes."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await ask():  # noqa: ASYNC110 - a real process raises no event
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Return whether a process runs; one that only waits to be fetched by its parent does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def exists(pid: int) -> bool:
    """Return whether the number is taken, be it by one that only waits to be fetched."""
    return Path(f"/proc/{pid}").exists()


def session_of(pid: int) -> int:
    """Return the session that a process is in."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3])


def lines(path: Path) -> list[str]:
    """Return the lines of a file that may not be there yet."""
    return path.read_text().splitlines() if path.exists() else []


def kill(pid: int | None, number: int) -> None:
    """Send a signal to a process that a test started."""
    assert pid is not None
    os.kill(pid, number)
