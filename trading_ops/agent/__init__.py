"""The control server inside a bot: metrics, health, commands, trading state and fence.

Needs `instrument`, aiohttp and the standard library, so that any bot can embed it. See
`embedding.embed`; `attach.attach` for a bot inside a web application; and `agent.Agent` for all
settings. `fence.FenceKeeper` serves the local supervisor too.
"""

from trading_ops.agent.agent import Agent
from trading_ops.agent.attach import Attached, attach
from trading_ops.agent.commands import BadRequest, Command, CommandFailed, Params
from trading_ops.agent.embedding import Embedded, embed
from trading_ops.agent.fence import FenceKeeper, StaleFence
from trading_ops.agent.gate import Denial, OrderGate, Side
from trading_ops.agent.health import ComponentHealth, Health, Status
from trading_ops.agent.journal import EventJournal, EventKind, EventSeverity
from trading_ops.agent.relief import relief_commands
from trading_ops.agent.state import Holds, TradingHold, TradingState

__all__ = [
    "Agent",
    "Attached",
    "BadRequest",
    "Command",
    "CommandFailed",
    "ComponentHealth",
    "Denial",
    "Embedded",
    "EventJournal",
    "EventKind",
    "EventSeverity",
    "FenceKeeper",
    "Health",
    "Holds",
    "OrderGate",
    "Params",
    "Side",
    "StaleFence",
    "Status",
    "TradingHold",
    "TradingState",
    "attach",
    "embed",
    "relief_commands",
]
