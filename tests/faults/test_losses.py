"""What a machine loses: its disk space, its database, its sources, and its folder to a copy."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults.disks import needs_disks, own_disk
from tests.stack import ROOT, Stack, running_stack
from tests.waiting import eventually
from trading_ops.errors import TradingOpsError
from trading_ops_lab.drills.lab_clients import Scene, open_scene
from trading_ops_lab.drills.preflight import wait_until_calm

pytestmark = pytest.mark.faults

FULL_SECONDS = 30
"""Longer than five deaths take, after which the supervisor once gave a process up."""

BLIND_SECONDS = 30


@asynccontextmanager
async def paused(scene: Scene) -> AsyncIterator[None]:
    """Nothing is remediated inside."""
    await scene.reconciler.pause(owner="test", reason="the fault comes first", seconds=900)
    try:
        yield
    finally:
        await scene.reconciler.resume(owner="test")


async def trades(stack: Stack, scene: Scene) -> bool:
    """Whether the bot runs, and is held by nothing."""
    try:
        health = await scene.directory.bot(scene.bot("alpha")).health()
    except TradingOpsError:
        return False
    return stack.processes()["bot-alpha"]["state"] == "ready" and health.state == "active"


def up_in(stack: Stack, var: Path) -> "subprocess.CompletedProcess[str]":
    """Run `trading-ops up` with another var folder."""
    return subprocess.run(
        [sys.executable, "-m", "trading_ops.cli.main", "up", "--detach"],
        cwd=ROOT,
        env=stack.whole_environ | {"TRADING_OPS_VAR": str(var)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


async def test_a_copy_of_the_folder_touches_nothing(
    stack: Stack, scene: Scene, tmp_path: Path
) -> None:
    """`up` in a copy, which a backup or a staging environment is, ends no process of the first."""
    before = {name: process["incarnation"] for name, process in stack.processes().items()}
    copy = tmp_path / "copy"
    shutil.copytree(stack.settings.var, copy, symlinks=True, ignore_dangling_symlinks=True)
    done = await asyncio.to_thread(up_in, stack, copy)
    assert done.returncode != 0
    assert {name: process["incarnation"] for name, process in stack.processes().items()} == before
    assert await trades(stack, scene)


async def test_a_deleted_database_is_reported_and_halts_go_out(stack: Stack, scene: Scene) -> None:
    """Nothing is called stored that went into a file without a name."""
    database = Path(stack.settings.database_url.removeprefix("sqlite:///"))
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()
    placed = await scene.reconciler.hold("alpha", "halt", owner="test", reason="the file is gone")
    assert placed.acknowledged
    assert not placed.stored or placed.id in stack.settings.journal.read_text()
    query = 'ALERTS{alertname="TradingDatabaseDown"}'
    await eventually(lambda: scene.prometheus.query(query), within=60)
    assert (await scene.directory.bot(scene.bot("alpha")).health()).state == "halted"


async def test_frozen_sources_close_nothing(stack: Stack, scene: Scene) -> None:
    """Prometheus and Alertmanager stand still while the bot is dead: restarted when they go on."""
    bot = scene.bot("alpha")
    await wait_until_calm(scene, bot)
    frozen = [stack.processes()[name]["pid"] for name in ("prometheus", "alertmanager")]
    async with paused(scene):
        os.kill(stack.processes()["bot-alpha"]["pid"], signal.SIGKILL)

        async def opened() -> list[str]:
            filters = {"alertname": "TradingBotDown", "open": "true"}
            return [incident.id for incident in await scene.reconciler.incidents(**filters)]

        before = await eventually(opened, within=60)
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(BLIND_SECONDS)
            assert await opened() == before
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
    await eventually(lambda: trades(stack, scene), within=60)


@needs_disks
async def test_a_full_disk_gives_no_process_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Prometheus and the reconciler die on it, and come back once there is room again."""
    folder = tmp_path_factory.mktemp("full")
    with own_disk(folder / "var", 192) as disk, running_stack(folder) as stack:
        async with open_scene(stack.settings) as scene:
            await eventually(lambda: trades(stack, scene), within=60)
            fill = disk / "fill"
            with fill.open("wb") as file:
                free = shutil.disk_usage(disk).free
                os.posix_fallocate(file.fileno(), 0, free - 64 * 1024)
            for name in ("prometheus", "reconciler"):
                os.kill(stack.processes()[name]["pid"], signal.SIGKILL)
            await asyncio.sleep(FULL_SECONDS)
            fill.unlink()

            async def all_ready() -> bool:
                return {process["state"] for process in stack.processes().values()} == {"ready"}

            await eventually(all_ready, within=120)
            await eventually(lambda: trades(stack, scene), within=60)
