"""Checks that the process that answers for a bot is the one of its service manager."""

import asyncio

from trading_ops.actions.base import Clients
from trading_ops.domain.decision import Stranger
from trading_ops.domain.target import OWN_BOTS, Target
from trading_ops.errors import TradingOpsError

NOTHING = "nothing"


async def stranger(clients: Clients, target: Target) -> Stranger | None:
    """Compare the incarnation that a bot's agent reports with the service manager's.

    None: they match, or one is unknown. A mismatch is checked twice, since the bot may just have
    been restarted.
    """
    if target.kind not in OWN_BOTS or target.service is None:
        return None
    return await _difference(clients, target) and await _difference(clients, target)


async def _difference(clients: Clients, target: Target) -> Stranger | None:
    try:
        unit = clients.unit(target)
        health, process = await asyncio.gather(clients.bot(target).health(), unit.process())
    except TradingOpsError:
        return None
    if process.agents is None:
        return None
    runs = NOTHING if process.pid is None else process.agents
    if health.incarnation == runs:
        return None
    return Stranger(
        f"process {health.incarnation[:40]} answers for {target.name}, "
        f"but its service manager runs {runs}"
    )
