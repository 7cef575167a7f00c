"""The process of a scheduled job is killed while it runs, as by the kernel when memory is short."""

import asyncio
import contextlib
from pathlib import Path

import psutil

from trading_ops.domain.target import Kind, Target
from trading_ops.errors import StackError
from trading_ops.jobs.work.commands import AUDIT_VERIFY
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.preflight import OWNER
from trading_ops_lab.faults.base import Fault
from trading_ops_lab.faults.frozen_processes import pid_of

JOB = "audit_verify"
ANCHOR_SECONDS = 120.0
START_SECONDS = 20.0
RUN_SECONDS = 60.0
LOOK_SECONDS = 0.02
"""The process runs for about a second."""


class KilledJob(Fault):
    """The run fails; the next one that succeeds resolves the alert."""

    describe = f"the process of the job {JOB} gets SIGKILL"

    async def ready(self, scene: Scene, bot: Target) -> None:
        """Wait for the first audit anchor: before it the job fails without a fault."""
        del bot
        async with asyncio.timeout(ANCHOR_SECONDS):
            while not _size(scene.settings.anchors):  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(1)

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Run the job, and kill its process.

        Raises:
            StackError: it has no process, or its run did not fail.
        """
        del bot
        reconciler = psutil.Process(await pid_of(scene, scene.registry.one(Kind.RECONCILER)))
        run = await scene.reconciler.run_job(JOB, owner=OWNER)
        async with asyncio.timeout(START_SECONDS):
            while (process := _process(reconciler)) is None:  # noqa: ASYNC110 - another process starts it
                await asyncio.sleep(LOOK_SECONDS)
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
        outcome = await _outcome(scene, run)
        if outcome != "failed":
            raise StackError(f"the run of {JOB} ended as {outcome}, before its process was killed")
        return JOB

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Run it again, like an operator.

        Raises:
            StackError: it fails.
        """
        del bot
        outcome = await _outcome(scene, await scene.reconciler.run_job(key, owner=OWNER))
        if outcome == "failed":
            raise StackError(f"the job {key} fails: trading-ops jobs history {key}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _process(reconciler: psutil.Process) -> psutil.Process | None:
    for child in reconciler.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if tuple(child.cmdline()[-len(AUDIT_VERIFY.arguments) :]) == AUDIT_VERIFY.arguments:
                return child
    return None


async def _outcome(scene: Scene, run: int) -> str:
    async with asyncio.timeout(RUN_SECONDS):
        while True:
            history = await scene.reconciler.job(JOB)
            found = next((recorded for recorded in history.runs if recorded.id == run), None)
            if found is not None and found.ended_at is not None:
                return found.outcome
            await asyncio.sleep(0.2)
