"""Defects that can be planted into a run: a harness that cannot fail proves nothing.

Each replaces one piece of the real reconciler by one that breaks a promise in the way in which it
is usually broken.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from trading_ops.actions.base import Call, Probe
from trading_ops.actions.restart_bot import RestartBot
from trading_ops.reconciler.intake import Intake
from trading_ops.store import audit_chain

_kept: set[asyncio.Task[None]] = set()


def acknowledge_early() -> None:
    """Answer 200 before the commit."""
    real = Intake.store

    async def store(self: Intake, body: bytes, received_at: datetime) -> None:
        async def later() -> None:
            await asyncio.sleep(0.05)
            await real(self, body, received_at)

        task = asyncio.create_task(later())
        _kept.add(task)
        task.add_done_callback(_kept.discard)

    Intake.store = store  # type: ignore[method-assign]


def repeat_unknown() -> None:
    """Take an unknown outcome for "not done"."""

    async def probe(_self: RestartBot, _call: Call) -> Probe:
        return Probe.NOT_DONE

    RestartBot.probe = probe  # type: ignore[assignment,method-assign]


def never_probe() -> None:
    """Leave an unknown outcome unknown."""

    async def probe(_self: RestartBot, _call: Call) -> Probe:
        return Probe.UNKNOWN

    RestartBot.probe = probe  # type: ignore[assignment,method-assign]


def break_chain() -> None:
    """Chain every event to nothing."""
    real = audit_chain.mac_of

    def mac_of(key: bytes, previous: str, seq: int, fields: Any) -> str:
        del previous
        return real(key, "", seq, fields)

    audit_chain.mac_of = mac_of


PLANTS: dict[str, Callable[[], None]] = {
    "acknowledge-early": acknowledge_early,
    "repeat-unknown": repeat_unknown,
    "never-probe": never_probe,
    "break-chain": break_chain,
}


def plant(name: str) -> None:
    """Plant one defect into this process."""
    PLANTS[name]()
