"""Two bots that a service manager runs get a new release: a canary that fails spares the other."""

import asyncio
import contextlib
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.free_ports import free_port
from tests.service.services.test_docker import IMAGE, docker, engine_answers, image
from tests.service.services.user_systemd import user_systemd, why_not
from tests.stack import ROOT, Stack, running_stack
from tests.waiting import eventually

pytestmark = pytest.mark.long

BOTS = ("beta", "gamma")
NODE = """
  - name: host-1
    kind: node
    address: 127.0.0.1:{port}
"""
BOT = """
  - name: {name}
    kind: bot
    venue: paper
    address: 127.0.0.1:{port}
    service: {service}
"""
SYSTEMD = "{{manager: systemd, unit: bot-{name}.service, node: host-1, restarts: reconciler}}"
COMMAND = (
    "{{manager: command, unit: bot-{name}, node: host-1, restarts: reconciler, commands: "
    "{{status: [{script}, status], restart: [{script}, restart], stop: [{script}, stop]}}}}"
)
DOCKER = "{{manager: docker, unit: {name}, node: host-1, restarts: reconciler}}"
# The stack writes the configuration when it starts; the service manager has the bot wait for it.
UNIT = """
[Service]
WorkingDirectory={root}
ExecStart=/bin/sh -c 'until test -e {config}; do sleep 0.1; done; exec {release} {config}'
TimeoutStopSec=12
"""
SCRIPT = """#!/bin/sh
pid=$(cat {folder}/{name}.pid 2>/dev/null || echo 0)
runs() {{ test "$pid" != 0 && kill -0 "-$pid" 2>/dev/null; }}
stop() {{
    runs || return 0
    kill -TERM "-$pid"
    for _ in $(seq 120); do runs || return 0; sleep 0.1; done
    kill -KILL "-$pid"
}}
case "$1" in
  status) runs && echo "$pid" || exit 3 ;;
  stop) stop ;;
  restart)
    stop
    cd {root}
    setsid sh -c 'until test -e {config}; do sleep 0.1; done; exec {release} {config}' \
        </dev/null >>{folder}/{name}.log 2>&1 &
    echo $! >{folder}/{name}.pid ;;
esac
"""
PAPER_BOT = f"{sys.executable} -m trading_ops_lab.paper.bot --config"
GOOD = f'#!/bin/sh\nexec {PAPER_BOT} "$1"\n'
DIES = f'#!/bin/sh\nexec timeout --signal KILL 20 {PAPER_BOT} "$1"\n'


class Releases:
    """A link to the release that bots start, as an operator changes it."""

    def __init__(self, folder: Path) -> None:
        self.link = folder / "current"
        for name, text in (("good", GOOD), ("dies", DIES)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o700)
        self.deploy("good")

    def deploy(self, name: str) -> None:
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(self.link.parent / name)


@dataclass(frozen=True)
class Managed:
    """Bots that a service manager runs."""

    service: str
    """Of `targets.yml`."""

    stop: Callable[[], None]
    node: dict[str, str] = field(default_factory=dict)
    """The environment of the node."""

    names: dict[str, str] = field(default_factory=lambda: {name: name for name in BOTS})
    """Of each bot, as the service manager knows it."""


@contextlib.contextmanager
def bots_of_systemd(folder: Path, var: Path, release: Path) -> Iterator[Managed]:
    if lacks := why_not():
        pytest.skip(lacks)
    with user_systemd(folder) as systemd:
        for name in BOTS:
            unit = f"bot-{name}.service"
            config = var / "config" / f"{unit}.json"
            systemd.install(unit, UNIT.format(root=ROOT, config=config, release=release))
            systemd.systemctl("start", unit)

        def stop() -> None:
            for name in BOTS:
                systemd.systemctl("stop", f"bot-{name}.service")

        yield Managed(SYSTEMD, stop, {"TRADING_OPS_SYSTEMD_BUS": systemd.bus})


@contextlib.contextmanager
def bots_of_commands(folder: Path, var: Path, release: Path) -> Iterator[Managed]:
    scripts = {name: folder / f"{name}.sh" for name in BOTS}
    for name, script in scripts.items():
        config = var / "config" / f"bot-{name}.json"
        text = SCRIPT.format(root=ROOT, folder=folder, name=name, config=config, release=release)
        script.write_text(text)
        script.chmod(0o700)
        subprocess.run([script, "restart"], check=True)

    def stop() -> None:
        for script in scripts.values():
            subprocess.run([script, "stop"], check=True)

    try:
        yield Managed(COMMAND.replace("{script}", f"{folder}/{{name}}.sh"), stop)
    finally:
        stop()


@contextlib.contextmanager
def bots_of_docker(folder: Path, var: Path, release: Path) -> Iterator[Managed]:
    """Containers that see this machine's programs; each bot is the first process of its own."""
    if not engine_answers():
        pytest.skip("no Docker engine answers")
    docker("import", "-", IMAGE, stdin=image())
    shown = {"/usr": "/usr", "/usr/bin": "/bin", "/usr/lib": "/lib", "/usr/lib64": "/lib64"}
    shown |= {str(path): str(path) for path in ("/etc", sys.base_prefix, sys.prefix, ROOT)}
    mounts = [f"--volume={here}:{there}:ro" for here, there in shown.items()]
    containers = {name: f"bot-{name}-{uuid.uuid4().hex[:8]}" for name in BOTS}
    for container in containers.values():
        config = var / "config" / f"{container}.json"
        start = f"until test -e {config}; do sleep 0.1; done; exec {release} {config}"
        options = ["--detach", "--network", "host", "--name", container, f"--workdir={ROOT}"]
        docker("run", *options, *mounts, f"--volume={folder}:{folder}", IMAGE, "sh", "-c", start)

    def stop() -> None:
        docker("stop", *containers.values())

    try:
        yield Managed(DOCKER, stop, names=containers)
    finally:
        docker("rm", "--force", *containers.values())


MANAGERS = {"systemd": bots_of_systemd, "docker": bots_of_docker, "command": bots_of_commands}


@contextlib.contextmanager
def node(stack: Stack, environment: dict[str, str]) -> Iterator[None]:
    command = [sys.executable, "-m", "trading_ops.cli.main", "node", "--name", "host-1"]
    with (stack.settings.var / "log" / "node.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=stack.whole_environ | environment, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


async def incarnation(stack: Stack, name: str) -> str | None:
    """Return the incarnation of a healthy bot, and None of any other."""
    bot = stack.registry.find(name)
    assert bot is not None
    token = (stack.settings.secrets / "metrics_token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"http://{bot.address}/health") as answer:
                health = await answer.json()
                if health.get("status") == "ok" and health.get("recovered"):
                    return str(health["incarnation"])
    return None


@pytest.mark.parametrize("manager", MANAGERS)
async def test_a_release_is_rolled_out_and_a_failing_one_stops_at_the_canary(
    manager: str, tmp_path: Path
) -> None:
    releases = Releases(tmp_path)
    with MANAGERS[manager](tmp_path, tmp_path / "var", releases.link) as bots:
        lines = [NODE.format(port=free_port())]
        for name in BOTS:
            service = bots.service.format(name=bots.names[name])
            lines.append(BOT.format(name=name, port=free_port(), service=service))
        with running_stack(tmp_path, "".join(lines)) as stack:
            try:
                with node(stack, bots.node):
                    await rolls_out(stack)
                    releases.deploy("dies")
                    await spares_the_second(stack)
                    releases.deploy("good")
                    await goes_back(stack)
            finally:
                bots.stop()


async def node_answers(stack: Stack) -> bool:
    found = stack.registry.find("host-1")
    assert found is not None
    async with aiohttp.ClientSession() as session:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"http://{found.address}/-/healthy") as answer:
                return answer.status == 200
    return False


async def rolls_out(stack: Stack) -> None:
    await eventually(partial(node_answers, stack), within=60, what="the node answers")
    before = {
        bot: await eventually(partial(incarnation, stack, bot), within=90, what=f"{bot} is healthy")
        for bot in BOTS
    }
    code, output = await roll(stack, *BOTS)
    assert (code, [bot["restarted"] for bot in output["bots"]]) == (0, [True, True]), output
    for bot in BOTS:
        assert await incarnation(stack, bot) not in {None, before[bot]}


async def spares_the_second(stack: Stack) -> None:
    second = await incarnation(stack, "gamma")
    code, output = await roll(stack, *BOTS)
    assert code == 1, output
    canary, other = output["bots"]
    assert canary["problem"]
    assert other["problem"] == "not restarted, because beta failed"
    assert await incarnation(stack, "gamma") == second


async def goes_back(stack: Stack) -> None:
    second = await incarnation(stack, "gamma")

    async def restarted() -> bool:
        code, _ = await roll(stack, "beta")
        return code == 0

    await eventually(restarted, within=120, what="beta runs the previous release")
    assert await incarnation(stack, "gamma") == second


async def roll(stack: Stack, *names: str) -> tuple[int, Any]:
    more = ("--drain", "--override-budget", "--canary", "25", "--reason", "release")
    found: tuple[int, Any] = await asyncio.to_thread(stack.json, "restart", *names, *more)
    return found
