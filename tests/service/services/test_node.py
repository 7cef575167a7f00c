"""The node process between the reconciler's client and a real service manager."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from tests.builders import FixedSecrets
from tests.free_ports import free_port
from tests.waiting import eventually
from trading_ops.agent.fence import FenceKeeper
from trading_ops.clients.directory import Directory
from trading_ops.clients.node import ServiceUnit
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import ConfigError, FencedOff, Refused, SetupError, Unreachable
from trading_ops.node.run import own_entry
from trading_ops.node.unit import NodeUnit
from trading_ops.services.executor import Executor, RestartRequest
from trading_ops.services.manager import UnitStatus

WITHIN = timedelta(seconds=60)

BOT = """
set -eu
case "$1" in
  status) kill -0 "$(cat {folder}/pid)" 2>/dev/null || exit 3; cat {folder}/pid ;;
  stop) kill -9 "$(cat {folder}/pid)" || true ;;
  restart)
    kill -9 "$(cat {folder}/pid)" 2>/dev/null || true
    sh -c '{slow}'
    echo restarted >>{folder}/restarts
    sleep 1000 >/dev/null 2>&1 & echo $! >{folder}/pid ;;
esac
"""


@dataclass
class Node:
    """A running node process with one bot, and the reconciler's client for it."""

    folder: Path
    process: subprocess.Popen[bytes]
    unit: ServiceUnit
    session: aiohttp.ClientSession
    address: str

    @property
    def restarts(self) -> int:
        path = self.folder / "restarts"
        return len(path.read_text().splitlines()) if path.exists() else 0

    async def up(self) -> None:
        async def healthy() -> bool:
            assert self.process.poll() is None
            with contextlib.suppress(aiohttp.ClientError):
                async with self.session.get(f"http://{self.address}/-/healthy") as answer:
                    return answer.status == 200
            return False

        await eventually(healthy)

    def start(self) -> None:
        self.process = start(self.folder)


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.defpath, "TRADING_OPS_ROOT": str(folder)}
    with (folder / "node.log").open("ab") as log:
        command = [sys.executable, "-m", "trading_ops.cli.main", "node"]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def bot(folder: Path, name: str, port: int, script: str) -> dict[str, object]:
    commands = {
        verb: ["/bin/sh", str(folder / script), verb] for verb in ("status", "restart", "stop")
    }
    service = {"manager": "command", "unit": name, "node": "host-1", "commands": commands}
    return {
        "name": name,
        "kind": "bot",
        "venue": "paper",
        "address": f"127.0.0.1:{port}",
        "service": service,
    }


def targets(folder: Path, port: int) -> str:
    others = (("prometheus", 1), ("reconciler", 2), ("alertmanager", 3))
    listed = [
        {"name": "host-1", "kind": "node", "address": f"127.0.0.1:{port}"},
        {"name": "paper", "kind": "venue", "address": "127.0.0.1:4"},
        bot(folder, "alpha", 5, "bot.sh"),
        bot(folder, "beta", 6, "other.sh"),
        *({"name": kind, "kind": kind, "address": f"127.0.0.1:{n}"} for kind, n in others),
    ]
    return json.dumps({"version": 1, "targets": listed})


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "bot.sh").write_text(BOT.format(folder=tmp_path, slow="true"))
    (tmp_path / "targets.yml").write_text(targets(tmp_path, free_port()))
    secrets = tmp_path / "var" / "secrets"
    secrets.mkdir(parents=True, mode=0o700)
    for name in ("agent_token", "node_token"):
        (secrets / name).write_text(f"the-{name}\n")
        (secrets / name).chmod(0o600)
    subprocess.run(["/bin/sh", tmp_path / "bot.sh", "restart"], check=True)
    (tmp_path / "restarts").unlink()
    yield tmp_path
    subprocess.run(["/bin/sh", tmp_path / "bot.sh", "stop"], check=False)


@pytest.fixture
async def node(folder: Path) -> AsyncIterator[Node]:
    registry = load_targets(folder / "targets.yml")
    alpha, address = registry.find("alpha"), registry.find("host-1")
    assert alpha is not None
    assert address is not None
    async with aiohttp.ClientSession() as session:
        unit = Directory(session, registry, FixedSecrets(node="the-node_token")).unit(alpha)
        made = Node(folder, start(folder), unit, session, address.address)
        await made.up()
        yield made
    made.process.kill()
    made.process.wait()


async def test_a_bot_is_restarted_once_for_each_attempt(node: Node) -> None:
    """The same attempt again has the same answer and no second effect."""
    before = await node.unit.process()
    assert before.incarnation is not None
    for _ in range(2):
        result = await node.unit.restart(
            incarnation=before.incarnation, attempt_id="a1", fence=7, within=WITHIN
        )
        assert result.succeeded, result.detail
    after = await node.unit.process()
    assert after.incarnation not in {None, before.incarnation}
    assert node.restarts == 1


async def test_another_life_than_the_one_that_is_meant_is_left_alone(node: Node) -> None:
    with pytest.raises(Refused, match="other_incarnation"):
        await node.unit.restart(incarnation="gone", attempt_id="a1", fence=7, within=WITHIN)
    assert node.restarts == 0


async def test_a_replaced_sender_is_refused_after_a_restart_too(node: Node) -> None:
    """The highest fence is on the disk: a new node process knows it."""
    await node.unit.raise_fence(9)
    node.process.kill()
    node.process.wait()
    node.start()
    await node.up()
    before = await node.unit.process()
    with pytest.raises(FencedOff):
        await node.unit.restart(
            incarnation=before.incarnation, attempt_id="a1", fence=8, within=WITHIN
        )
    assert node.restarts == 0


async def test_a_node_that_is_killed_in_the_middle_does_not_know_the_outcome(node: Node) -> None:
    """An attempt that was started but not answered is never repeated or reported as not started."""
    gate = node.folder / "gate"
    os.mkfifo(gate)
    (node.folder / "bot.sh").write_text(BOT.format(folder=node.folder, slow=f"cat {gate}"))
    before = await node.unit.process()
    ordering = asyncio.create_task(
        node.unit.restart(incarnation=before.incarnation, attempt_id="a1", fence=7, within=WITHIN)
    )
    descriptor = await asyncio.to_thread(os.open, gate, os.O_WRONLY)  # the command waits there
    node.process.send_signal(signal.SIGKILL)
    node.process.wait()
    with pytest.raises(Unreachable):
        await ordering
    node.start()
    await node.up()
    kept = await node.unit.attempt("a1")
    assert kept is not None
    assert (kept.outcome, kept.before) == ("unknown", before.incarnation)
    os.close(descriptor)


class Slow:
    """A service manager whose restart takes longer than is waited for."""

    async def status(self, name: str) -> UnitStatus:
        return UnitStatus(state="activating", running=True, incarnation=f"{name}-1", pid=1)

    async def start(self, name: str, within: timedelta) -> None: ...

    async def stop(self, name: str, grace: timedelta) -> None: ...

    async def restart(self, name: str, within: timedelta) -> None:
        raise TimeoutError

    async def close(self) -> None: ...


async def test_a_restart_that_takes_too_long_is_not_known(folder: Path) -> None:
    """The manager may still finish it: called failed, it would be done a second time."""
    alpha = load_targets(folder / "targets.yml").find("alpha")
    assert alpha is not None
    executor = Executor(FenceKeeper(folder / "fence.json"))
    request = RestartRequest(attempt_id="a1", fence=1)
    answer = await executor.restart(NodeUnit(alpha, Slow()), request)
    assert answer["outcome"] == "unknown"


class Dead(Slow):
    """A service manager whose unit was killed, until it is restarted."""

    restarted = False

    async def status(self, name: str) -> UnitStatus:
        if self.restarted:
            return UnitStatus(state="active", running=True, incarnation=f"{name}-2", pid=2)
        end = "oom-kill, exit status 9"
        return UnitStatus(state="failed", running=False, incarnation=f"{name}-1", detail=end)

    async def restart(self, name: str, within: timedelta) -> None:
        self.restarted = True


async def test_the_answer_says_how_the_process_ended(folder: Path) -> None:
    """The incident's timeline has it."""
    alpha = load_targets(folder / "targets.yml").find("alpha")
    assert alpha is not None
    executor, unit = Executor(FenceKeeper(folder / "fence.json")), NodeUnit(alpha, Dead())
    answer = await executor.restart(unit, RestartRequest(attempt_id="a1", fence=1))
    assert "-1 (oom-kill, exit status 9) → " in answer["detail"]
    answer = await executor.restart(unit, RestartRequest(attempt_id="a2", fence=1))
    assert "oom-kill" not in answer["detail"]


class Talkative(Dead):
    """A dead unit whose log is kept, or cannot be read."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem

    async def last_lines(self, name: str, incarnation: str) -> list[str]:
        if self.problem:
            raise self.problem
        return [f"the end of {incarnation}", "agent_token=0123456789abcdef"]


async def test_the_answer_has_what_the_last_linesged_last(folder: Path) -> None:
    """Without secrets. It is not stored: each change of a fence would write it again."""
    alpha = load_targets(folder / "targets.yml").find("alpha")
    assert alpha is not None
    executor, unit = Executor(FenceKeeper(folder / "fence.json")), NodeUnit(alpha, Talkative())
    answer = await executor.restart(unit, RestartRequest(attempt_id="a1", fence=1))
    assert answer["log"][0] == f"the end of {unit.service}-1"
    assert "0123456789abcdef" not in "".join(answer["log"])
    assert "the end of" not in (folder / "fence.json").read_text()
    running = await executor.restart(unit, RestartRequest(attempt_id="a2", fence=1))
    assert running["log"] == []


@pytest.mark.parametrize("problem", [SetupError("no journalctl"), ValueError("a defect")])
async def test_a_log_that_cannot_be_read_prevents_no_restart(
    folder: Path, problem: Exception
) -> None:
    alpha = load_targets(folder / "targets.yml").find("alpha")
    assert alpha is not None
    manager = Talkative(problem)
    executor = Executor(FenceKeeper(folder / "fence.json"))
    answer = await executor.restart(
        NodeUnit(alpha, manager), RestartRequest(attempt_id="a1", fence=1)
    )
    assert (answer["outcome"], answer["log"]) == ("succeeded", [])
    assert manager.restarted


async def test_only_listed_services_are_known(node: Node) -> None:
    """Nothing that targets.yml does not give to this node can be named."""
    stranger = ServiceUnit(node.unit._http, "sshd")
    with pytest.raises(Refused, match="404"):
        await stranger.restart(incarnation=None, attempt_id="a1", fence=7, within=WITHIN)


async def test_a_request_without_the_token_is_refused(node: Node) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        async with node.session.get(f"http://{node.address}/processes", headers=headers) as answer:
            assert answer.status == 401


async def test_a_manager_without_an_answer_is_unknown_and_not_dead(node: Node) -> None:
    """A status command that fails must not look like a dead bot: nothing may be restarted."""
    (node.folder / "bot.sh").write_text("exit 1\n")
    with pytest.raises(Unreachable, match="status command of alpha"):
        await node.unit.process()
    with pytest.raises(Unreachable, match="503"):
        await node.unit.restart(incarnation=None, attempt_id="a1", fence=7, within=WITHIN)


async def test_a_dead_bot_is_restarted_while_the_manager_of_another_hangs(node: Node) -> None:
    """A hung Docker engine or status command makes its own units unknown, and no others."""
    os.mkfifo(node.folder / "gate")
    (node.folder / "other.sh").write_text(f"cat {node.folder}/gate\n")
    os.kill(int((node.folder / "pid").read_text()), signal.SIGKILL)
    (node.folder / "pid").unlink()  # a zombie until its new parent reaps it
    dead = await node.unit.process()
    assert dead.state != "running"
    result = await node.unit.restart(
        incarnation=dead.incarnation, attempt_id="a1", fence=7, within=WITHIN
    )
    assert result.succeeded, result.detail
    assert (await node.unit.process()).state == "running"
    assert node.restarts == 1


def test_a_node_of_another_host_is_not_taken_for_ones_own() -> None:
    """Without a name only a loopback address is surely this host's."""
    local = Target(name="host-1", kind=Kind.NODE, address="127.0.0.1:8461")
    remote = Target(name="host-2", kind=Kind.NODE, address="10.0.0.5:8461", tls=True)
    registry = Registry((remote, local))
    assert own_entry(registry, "") is local
    assert own_entry(registry, "host-2") is remote
    with pytest.raises(ConfigError, match="host-2"):
        own_entry(Registry((remote,)), "")
