"""Frozen processes: they exist, so their supervisor sees no failure, but they do nothing."""

import asyncio
import contextlib
import email
import email.policy
import os
import signal
from pathlib import Path

import psutil

from trading_ops.domain.target import Kind, Target
from trading_ops.errors import StackError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.base import Fault

FROZEN_SECONDS = 4.5
"""The reconciler requests a halt after 3 s, and stops the process after 6 s."""


class Frozen(Fault):
    """SIGSTOP of one of our own processes, until SIGCONT."""

    def __init__(self, kind: Kind) -> None:
        self.describe = f"the {kind.value}'s process is frozen"
        self._kind = kind

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Stop it."""
        del bot
        pid = await pid_of(scene, scene.registry.one(self._kind))
        os.kill(pid, signal.SIGSTOP)
        return str(pid)

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Continue the process, unless it was replaced."""
        del scene, bot
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(key), signal.SIGCONT)


class FrozenAlertmanager(Frozen):
    """No notifications are sent; only Prometheus has the alerts."""

    blocks_notifications = True

    def __init__(self) -> None:
        """It is the only one."""
        super().__init__(Kind.ALERTMANAGER)


class FrozenReconciler(Frozen):
    """Nothing is remediated; the mail to on-call proves that pages do not need the reconciler."""

    blocks_notifications = True

    def __init__(self) -> None:
        """It is the only one."""
        super().__init__(Kind.RECONCILER)

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Look for a mail that names the alert."""
        del bot
        found = await asyncio.to_thread(
            _mails, scene.settings.var / "mail", since, "TradingOpsReconcilerDown"
        )
        return "Alertmanager mailed on-call while the reconciler was frozen" if found else None


class UnresponsiveBot(Fault):
    """The bot does not answer for some seconds, and then continues."""

    describe = f"the bot's process is frozen for {FROZEN_SECONDS:g} s, then continues, auto-halted"

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Freeze a process, and continue it."""
        pid = await pid_of(scene, bot)
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(FROZEN_SECONDS)
        finally:
            os.kill(pid, signal.SIGCONT)
        return bot.name

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Release the reconciler's holds on it, like an operator after a check."""
        del bot
        for target in await scene.reconciler.targets():
            placed = [hold.id for hold in target.holds if hold.owner == "reconciler"]
            if target.name == key and placed:
                await scene.reconciler.release(key, holds=placed, owner="drill", reason="seen")

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Check that it is still the same process."""
        process = psutil.Process(await pid_of(scene, bot))
        same = process.create_time() < since
        return f"process {process.pid} still runs: it was not replaced" if same else None


async def pid_of(scene: Scene, target: Target) -> int:
    """Return the process of a target.

    Raises:
        StackError: it does not run.
    """
    process = await scene.directory.unit(target).process()
    if process.pid is None:
        raise StackError(f"{target.name} does not run")
    return process.pid


def _mails(folder: Path, since: float, text: str) -> list[str]:
    files = [file for file in folder.glob("*.eml") if file.stat().st_mtime >= since]
    policy = email.policy.default
    subjects = [
        str(email.message_from_bytes(file.read_bytes(), policy=policy)["Subject"]) for file in files
    ]
    return [subject for subject in subjects if text in subject]
