"""All actions by name; runbooks can use no others."""

from trading_ops.actions.base import Action, Clients, Notifier
from trading_ops.actions.bot_commands import (
    BotCommand,
    CancelOrders,
    ClearQueue,
    FailoverBot,
    FreeDisk,
    ReconcilePositions,
    ReconnectBroker,
    ReconnectDatabase,
    RecyclePool,
    RelieveMemory,
    RestartComponent,
    ResyncNonce,
    RotateLogs,
    ThrottleLoad,
)
from trading_ops.actions.page_oncall import PageOncall
from trading_ops.actions.restart_bot import RestartBot, RollBot
from trading_ops.actions.scale_resources import ScaleResources
from trading_ops.actions.trading import FlattenPositions, HaltTrading, ReduceTrading, ResumeTrading

ACTIONS: dict[str, type[BotCommand | RestartBot | ScaleResources | PageOncall]] = {
    kind.name: kind
    for kind in (
        ReconnectBroker,
        RestartComponent,
        RestartBot,
        RollBot,
        ResyncNonce,
        ReconcilePositions,
        CancelOrders,
        HaltTrading,
        ReduceTrading,
        FlattenPositions,
        RotateLogs,
        FreeDisk,
        RecyclePool,
        ReconnectDatabase,
        ClearQueue,
        RelieveMemory,
        ThrottleLoad,
        ScaleResources,
        FailoverBot,
        ResumeTrading,
        PageOncall,
    )
}


def build(clients: Clients, notices: Notifier) -> dict[str, Action]:
    """Return all actions by name, with their clients.

    Args:
        clients: of targets.
        notices: for notifying on-call.
    """
    return {
        name: kind(notices) if issubclass(kind, PageOncall) else kind(clients)
        for name, kind in ACTIONS.items()
    }
