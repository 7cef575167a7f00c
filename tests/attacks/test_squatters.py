"""Another user's process on the port of one of ours: it receives no token, and hides no crash."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.attacks.conftest import Stranger, until_state
from tests.unprivileged import BECOME_NOBODY, needs_root, unprivileged_process
from tests.waiting import eventually
from trading_ops.config.settings import Settings
from trading_ops.config.targets import split_address
from trading_ops.domain.target import Kind
from trading_ops_lab.drills.lab_clients import Scene

SQUAT = (
    BECOME_NOBODY
    + """
import selectors
selector = selectors.DefaultSelector()
while True:
    try:
        listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
        break
    except OSError:
        time.sleep(0.02)
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    connection.settimeout(0.5)
    try:
        said = connection.recv(65536)
        connection.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 15\\r\\n\\r\\n{"status":"ok"}')
    except OSError:
        said = b""
    print(said.hex() or "-", flush=True)
    connection.close()
"""
)

pytestmark = [needs_root, pytest.mark.usefixtures("calm"), pytest.mark.attacks]


@asynccontextmanager
async def squatter(port: int) -> AsyncIterator[list[bytes]]:
    """Hold a port as another user, and note what is sent to it."""
    requests: list[bytes] = []
    async with unprivileged_process(SQUAT, port) as process:
        assert process.stdout is not None
        output = process.stdout
        assert await asyncio.wait_for(output.readline(), 60) == b"listening\n"

        async def listen() -> None:
            async for line in output:
                requests.append(bytes.fromhex(line.decode().strip("-\n")))

        listening = asyncio.create_task(listen())
        try:
            yield requests
        finally:
            listening.cancel()


def learned(settings: Settings, requests: list[bytes]) -> set[str]:
    """Return the names of our secrets that are in any of the requests."""
    secrets = {path.name: path.read_bytes().strip() for path in settings.secrets.iterdir()}
    return {
        name
        for name, value in secrets.items()
        if value and any(value in request for request in requests)
    }


async def test_a_halt_is_not_sent_to_who_holds_the_reconcilers_port(
    stranger: Stranger, scene: Scene
) -> None:
    """The command line keeps its token, and tells the bot itself."""
    stack = stranger.stack
    _, port = split_address(stack.registry.one(Kind.RECONCILER).address)
    await asyncio.to_thread(stack.supervisor.stop, "reconciler")
    try:
        async with squatter(port) as requests:
            done = await asyncio.to_thread(stack.run, "halt", "alpha", "--reason", "squatted")
            await until_state(scene, "halted")
        # Those of Prometheus and Alertmanager, which are not our code.
        assert learned(stack.settings, requests) <= {"metrics_token", "webhook_token"}, done
    finally:
        await asyncio.to_thread(stack.supervisor.start, "reconciler")

    async def back() -> bool:
        return bool(stack.processes()["reconciler"]["state"] == "ready")

    await eventually(back, within=60)

    async def released() -> bool:
        await scene.reconciler.release("alpha", holds=(), owner="test", reason="over")
        return (await scene.directory.bot(scene.bot("alpha")).health()).state == "active"

    await eventually(released, within=60)


async def test_who_holds_a_dead_bots_port_gets_no_command(stranger: Stranger, scene: Scene) -> None:
    """The reconciler asks each second: it sends the agent's token to no other user's process."""
    stack = stranger.stack
    _, port = split_address(scene.bot("alpha").address)
    await scene.reconciler.pause(owner="test", reason="the bot stays down", seconds=600)
    await asyncio.to_thread(stack.supervisor.stop, "bot-alpha")
    try:
        async with squatter(port) as requests:
            query = 'ALERTS{alertname="TradingOpsImpostor"}'

            async def command_was_refused() -> object:
                return await scene.prometheus.query(query)

            await eventually(command_was_refused, within=60)
            # Prometheus scrapes each second; its token reads metrics and commands nothing.
            assert learned(stack.settings, requests) == {"metrics_token"}
    finally:
        await asyncio.to_thread(stack.supervisor.start, "bot-alpha")
        await scene.reconciler.resume(owner="test")
    await until_state(scene, "active")
