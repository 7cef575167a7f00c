"""All actions by name; runbooks can use no others."""

from trading_ops.actions.base import Action, Clients, Notices
from trading_ops.actions.bot_command import BotCommand
from trading_ops.actions.cancel_orders import CancelOrders
from trading_ops.actions.clear_queue import ClearQueue
from trading_ops.actions.failover_bot import FailoverBot
from trading_ops.actions.flatten_positions import FlattenPositions
from trading_ops.actions.free_disk import FreeDisk
from trading_ops.actions.halt_trading import HaltTrading
from trading_ops.actions.notify import Notify
from trading_ops.actions.reconcile_positions import ReconcilePositions
from trading_ops.actions.reconnect_broker import ReconnectBroker
from trading_ops.actions.reconnect_database import ReconnectDatabase
from trading_ops.actions.recycle_pool import RecyclePool
from trading_ops.actions.reduce_trading import ReduceTrading
from trading_ops.actions.relieve_memory import RelieveMemory
from trading_ops.actions.restart_bot import RestartBot
from trading_ops.actions.restart_component import RestartComponent
from trading_ops.actions.resume_trading import ResumeTrading
from trading_ops.actions.resync_nonce import ResyncNonce
from trading_ops.actions.roll_bot import RollBot
from trading_ops.actions.rotate_logs import RotateLogs
from trading_ops.actions.throttle_load import ThrottleLoad

KINDS: dict[str, type[BotCommand | RestartBot | Notify]] = {
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
        FailoverBot,
        ResumeTrading,
        Notify,
    )
}


def build(clients: Clients, notices: Notices) -> dict[str, Action]:
    """Return all actions by name, with their clients.

    Args:
        clients: of targets.
        notices: for notifying on-call.
    """
    return {
        name: kind(notices) if issubclass(kind, Notify) else kind(clients)
        for name, kind in KINDS.items()
    }
