"""What a roll, a canary update and a failover ask of a service, through each service manager.

Each runs on the real thing but Kubernetes, which is a fake API server over TLS.
"""

import contextlib
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.builders import make_target
from tests.kubernetes.cluster import Cluster
from tests.service.services.test_docker import IMAGE, docker, engine_answers, image
from tests.service.services.user_systemd import user_systemd, why_not
from trading_ops.agent.fence import FenceKeeper
from trading_ops.domain.target import Manager, Restarts, Service
from trading_ops.node.unit import NodeUnit
from trading_ops.services.command import Commands
from trading_ops.services.docker import Docker
from trading_ops.services.executor import Executor, OtherIncarnation, RestartRequest, StopRequest
from trading_ops.services.kubernetes import Kubernetes
from trading_ops.services.kubernetes_api import KubernetesApi
from trading_ops.services.manager import ServiceManager
from trading_ops.services.systemd import Systemd

Running = tuple[ServiceManager, str]
"""A service manager, and the name of a unit that it runs."""

WITHIN = timedelta(seconds=60)
UNIT = "bot-alpha.service"
SCRIPT = """#!/bin/sh
cd {folder}
stop() {{ kill -9 "$(cat pid)" 2>/dev/null; rm -f pid; }}
case "$1" in
  status) kill -0 "$(cat pid 2>/dev/null)" 2>/dev/null || exit 3; cat pid ;;
  stop) stop; exit 0 ;;
  *) stop; sleep 1000 >/dev/null 2>&1 & echo $! >pid ;;
esac
"""


@contextlib.asynccontextmanager
async def systemd(_folder: Path) -> AsyncIterator[Running]:
    if lacks := why_not():
        pytest.skip(lacks)
    with tempfile.TemporaryDirectory() as short, user_systemd(Path(short)) as running:
        running.install(UNIT, "[Service]\nExecStart=/bin/sleep 1000\n")
        manager = Systemd(running.bus)
        await manager.start(UNIT, WITHIN)
        yield manager, UNIT
        await manager.close()


@contextlib.asynccontextmanager
async def engine(_folder: Path) -> AsyncIterator[Running]:
    if not engine_answers():
        pytest.skip("no Docker engine answers")
    docker("import", "-", IMAGE, stdin=image())
    name = f"trading-ops-test-{uuid.uuid4().hex[:8]}"
    docker("run", "--detach", "--network", "none", "--name", name, IMAGE, "/bin/sleep", "1000")
    manager = Docker(os.getenv("DOCKER_HOST"))  # noqa: TID251 - as the docker command finds it
    yield manager, name
    await manager.close()
    docker("rm", "--force", name)


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Running]:
    made = Cluster(folder)
    made.add("statefulset")
    runner, url = await made.serve()
    manager = Kubernetes(KubernetesApi(url, made.account))
    yield manager, "bots/statefulset/alpha"
    await manager.close()
    await runner.cleanup()


@contextlib.asynccontextmanager
async def script(folder: Path) -> AsyncIterator[Running]:
    path = folder / "bot.sh"
    path.write_text(SCRIPT.format(folder=folder))
    path.chmod(0o700)
    verbs = ("status", "start", "stop", "restart")
    manager = Commands({"alpha": {verb: [str(path), verb] for verb in verbs}})
    await manager.start("alpha", WITHIN)
    yield manager, "alpha"
    await manager.stop("alpha", timedelta(seconds=1))


MANAGERS: dict[Manager, Callable[[Path], AbstractAsyncContextManager[Running]]] = {
    Manager.SYSTEMD: systemd,
    Manager.DOCKER: engine,
    Manager.KUBERNETES: cluster,
    Manager.COMMAND: script,
}


def test_no_manager_is_left_out() -> None:
    assert MANAGERS.keys() | {Manager.SUPERVISOR} == set(Manager)


@pytest.mark.parametrize("kind", MANAGERS)
async def test_one_run_follows_another_and_a_stopped_bot_stays_stopped(
    kind: Manager, tmp_path: Path
) -> None:
    async with MANAGERS[kind](tmp_path) as (manager, name):
        restarts = Restarts.MANAGER if kind is Manager.KUBERNETES else Restarts.RECONCILER
        service = Service(manager=kind, unit=name, node="host-1", restarts=restarts)
        unit = NodeUnit(make_target(service=service), manager)
        executor = Executor(FenceKeeper(tmp_path / "fence.json"))

        async def seen() -> tuple[bool, str | None]:
            await unit.refresh()
            return unit.running, unit.incarnation

        runs, first = await seen()
        assert runs
        assert first is not None

        # a roll: the run that was seen is replaced, once for each attempt
        roll = RestartRequest(attempt_id="roll", fence=1, incarnation=first)
        assert (await executor.restart(unit, roll))["outcome"] == "succeeded"
        runs, second = await seen()
        assert runs
        assert second not in {None, first}
        assert (await executor.restart(unit, roll))["repeated"]
        late = RestartRequest(attempt_id="late", fence=1, incarnation=first)
        with pytest.raises(OtherIncarnation):
            await executor.restart(unit, late)
        assert await seen() == (True, second)

        # a failover: the run that was seen is stopped, and stays so until it is started
        stop = StopRequest(attempt_id="stop", fence=2, incarnation=str(second), grace_seconds=1.0)
        assert (await executor.stop_life(unit, stop))["outcome"] == "succeeded"
        assert not (await seen())[0]
        await executor.start(unit)
        runs, third = await seen()
        assert runs
        assert third not in {None, first, second}
