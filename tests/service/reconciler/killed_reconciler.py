"""A reconciler in a process of its own, which is killed by what it handles."""

import asyncio
import os
import signal
from dataclasses import dataclass, replace

from tests.builders import make_registry
from trading_ops.app.build import build
from trading_ops.config.settings import Settings
from trading_ops.domain.runbook import RunbookStep
from trading_ops.domain.target import Target
from trading_ops.reconciler.execute import AttemptRunner


@dataclass(frozen=True, kw_only=True)
class Deadly(AttemptRunner):
    """Has a defect that ends the process with each precondition."""

    async def precondition(self, step: RunbookStep, target: Target) -> str | None:
        del step, target
        os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.Event().wait()
        raise AssertionError


async def _run(settings: Settings, address: str) -> None:
    names = ("alpha", "supervisor", "prometheus", "alertmanager")
    registry = make_registry(**dict.fromkeys(names, address))
    async with build(settings, registry) as reconciler:
        incident_reconciler = reconciler.loop.incident_reconciler
        fields = {
            name: getattr(incident_reconciler.runner, name)
            for name in AttemptRunner.__dataclass_fields__
        }
        reconciler.loop.incident_reconciler = replace(incident_reconciler, runner=Deadly(**fields))
        await reconciler.loop.run()


def live(settings: Settings, address: str) -> None:
    """Be a reconciler with the defect until the end."""
    asyncio.run(_run(settings, address))
