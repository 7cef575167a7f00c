"""Processes of a user without any right: what a stranger on the same machine can do."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

NOBODY_UID = 65534

BECOME_NOBODY = f"""
import collections, os, socket, struct, sys, time  # while the interpreter's files can still be read
os.setgroups([])
os.setgid({NOBODY_UID})
os.setuid({NOBODY_UID})
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

FLOOD = (
    BECOME_NOBODY
    + """
address, seconds = ("127.0.0.1", int(sys.argv[1])), float(sys.argv[2])
reset = struct.pack("ii", 1, 0)
held, opened, began = collections.deque(), 0, time.monotonic()
while time.monotonic() - began < seconds:
    connection = socket.socket()
    connection.setblocking(False)
    # Closed by a reset: otherwise this machine's ports are used up within seconds.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    connection.connect_ex(address)
    held.append(connection)
    opened += 1
    if len(held) > 256:
        held.popleft().close()
print(opened, time.monotonic() - began)
"""
)


async def run_unprivileged(script: str, *arguments: object) -> str:
    """Run a Python script as a user without any right; return what it printed."""
    async with unprivileged_process(script, *arguments) as process:
        assert process.stdout is not None
        output = (await process.stdout.read()).decode()
        assert await process.wait() == 0
        return output


@asynccontextmanager
async def unprivileged_process(
    script: str, *arguments: object
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run such a script beside the test, and end it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", script, *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def flood(port: int, *, seconds: float, processes: int = 2) -> float:
    """Open connections as fast as the machine allows, and say nothing; return how many a second."""
    outputs = await asyncio.gather(
        *(run_unprivileged(FLOOD, port, seconds) for _ in range(processes))
    )
    counts = [[float(figure) for figure in line.split()] for line in outputs]
    return sum(opened / lasted for opened, lasted in counts)
