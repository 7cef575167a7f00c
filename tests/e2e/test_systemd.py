"""A bot that systemd runs is killed: the reconciler has the node restart it, and verifies it."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.free_ports import free_port
from tests.service.services.user_systemd import UserSystemd, user_systemd, why_not
from tests.stack import ROOT, Stack, running_stack
from tests.waiting import eventually

LACKS = why_not()
pytestmark = [pytest.mark.skipif(LACKS is not None, reason=str(LACKS)), pytest.mark.slow]

UNIT = "bot-beta.service"
TARGETS = """
  - name: host-1
    kind: node
    address: 127.0.0.1:{node}

  - name: beta
    kind: bot
    venue: paper
    address: 127.0.0.1:{agent}
    service: {{manager: systemd, unit: {unit}, node: host-1, restarts: reconciler}}
"""
# The stack writes the configuration when it starts; systemd has the bot wait for it.
SERVICE = """
[Service]
WorkingDirectory={root}
ExecStart=/bin/sh -c 'until test -e {config}; do sleep 0.1; done; exec {python} -m \
trading_ops_lab.paper.bot --config {config}'
"""


@pytest.fixture(scope="module")
def systemd() -> Iterator[UserSystemd]:
    with tempfile.TemporaryDirectory() as folder, user_systemd(Path(folder)) as made:
        yield made


@contextlib.contextmanager
def node(stack: Stack, systemd: UserSystemd) -> Iterator[None]:
    environment = stack.whole_environ | {"TRADING_OPS_SYSTEMD_BUS": systemd.bus}
    command = [sys.executable, "-m", "trading_ops.cli.main", "node", "--name", "host-1"]
    with (stack.settings.var / "log" / "node.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module")
def stack(systemd: UserSystemd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("systemd")
    config = folder / "var" / "config" / f"{UNIT}.json"
    systemd.install(UNIT, SERVICE.format(root=ROOT, config=config, python=sys.executable))
    systemd.systemctl("start", UNIT)
    more = TARGETS.format(node=free_port(), agent=free_port(), unit=UNIT)
    with running_stack(folder, more) as made:
        with node(made, systemd):
            yield made
        systemd.systemctl("stop", UNIT)


def main_pid(systemd: UserSystemd) -> int:
    return int(systemd.systemctl("show", "--property", "MainPID", "--value", UNIT) or 0)


def invocation(systemd: UserSystemd) -> str:
    return systemd.systemctl("show", "--property", "InvocationID", "--value", UNIT).strip()


async def healthy(stack: Stack) -> bool:
    beta = stack.registry.find("beta")
    assert beta is not None
    token = (stack.settings.secrets / "metrics_token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(f"http://{beta.address}/health") as answer:
                return answer.status == 200 and (await answer.json())["status"] == "ok"
    return False


def incidents(stack: Stack, *arguments: str) -> list[dict[str, Any]]:
    code, found = stack.json("incidents", "--target", "beta", *arguments)
    assert code == 0, found
    listed: list[dict[str, Any]] = found["incidents"] if isinstance(found, dict) else found
    return listed


async def test_a_killed_bot_is_restarted_by_systemd_and_verified(
    stack: Stack, systemd: UserSystemd
) -> None:
    await eventually(lambda: healthy(stack), within=60, what="beta is healthy")
    await eventually(lambda: not incidents(stack, "--open"), within=60, what="nothing is open")
    before, known = invocation(systemd), len(incidents(stack))

    os.kill(main_pid(systemd), signal.SIGKILL)

    def closed() -> list[dict[str, Any]]:
        found = incidents(stack)
        fresh = found[: len(found) - known]
        return fresh if all(incident["closed_at"] for incident in fresh) else []

    fresh = await eventually(closed, within=120, what="the incident of the killed bot is closed")
    assert invocation(systemd) not in {"", before}
    assert "TradingBotDown" in {incident["alert"] for incident in fresh}, fresh
    assert all(incident["close_reason"] == "recovered" for incident in fresh), fresh
    assert await healthy(stack)


async def test_a_noisy_bot_gets_less_of_the_cpu_for_a_time(
    stack: Stack, systemd: UserSystemd
) -> None:
    """An operator's order passes the gates and the node; systemd has the old weight back after."""
    await eventually(lambda: healthy(stack), within=60, what="beta is healthy")

    def weight() -> str:
        return systemd.systemctl("show", "--property=CPUWeight", "--value", UNIT).strip()

    def order(seconds: int) -> None:
        wanted = ("resource=cpu_weight", "value=20", f"seconds={seconds}")
        done = stack.run("run", "scale_resources", "beta", *wanted, "--reason", "noisy neighbor")
        assert done.returncode == 0, done.stdout + done.stderr

    before = weight()
    order(3600)
    assert weight() == "20"
    reset = stack.run("automation", "reset-budget", "beta", "--reason", "its cooldown")
    assert reset.returncode == 0, reset.stderr
    order(0)
    await eventually(lambda: weight() == before, within=60, what="the earlier CPU weight")
    assert await healthy(stack)
