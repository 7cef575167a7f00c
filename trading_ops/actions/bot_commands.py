"""Actions that are one idempotent command of the bot's agent."""

from collections.abc import Mapping
from typing import ClassVar

from trading_ops.actions.base import Call, Clients, Probe, probe_executor, undo_id
from trading_ops.domain.attempt import DeliverySemantics
from trading_ops.domain.target import OWN_BOTS, Kind
from trading_ops.errors import ActionError


class BotCommand:
    """Sends one command to the bot's agent."""

    name: ClassVar[str]
    command: ClassVar[str] = ""
    """The agent's name of the command; empty: the action's name."""

    delivery: ClassVar[DeliverySemantics] = DeliverySemantics.IDEMPOTENT
    params: ClassVar[frozenset[str]] = frozenset()
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
    two_person_approval: ClassVar[bool] = False
    manual_only: ClassVar[bool] = False

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def body(self, call: Call) -> Mapping[str, str]:
        """Return the command's parameters."""
        return call.params

    async def precondition(self, call: Call) -> str | None:
        """No precondition: it is idempotent."""
        del call
        return None

    async def perform(self, call: Call) -> str:
        """Send the command and wait for the result."""
        return await self._send(call, self.body(call), call.attempt_id)

    async def probe(self, call: Call) -> Probe:
        """Probe the agent's record of attempts."""
        return await probe_executor(self._clients.bot(call.target), call)

    async def _send(self, call: Call, params: Mapping[str, str], attempt_id: str) -> str:
        result = await self._clients.bot(call.target).command(
            self.command or self.name,
            params,
            attempt_id=attempt_id,
            fence=call.fence,
            within=call.within,
        )
        if not result.succeeded:
            raise ActionError(result.detail or f"{self.name} failed")
        return result.detail


class ReconnectBroker(BotCommand):
    """Make the bot open a new session at its broker and drop the old one.

    Fixes sessions that the venue has dropped or blocked while connections are still open.
    """

    name: ClassVar[str] = "reconnect_broker"


class RestartComponent(BotCommand):
    """Restart one component of the bot while the rest keeps running.

    Fixes a component that is stuck, such as a feed that is open but silent.
    """

    name: ClassVar[str] = "restart_component"
    params: ClassVar[frozenset[str]] = frozenset({"component"})


class ResyncNonce(BotCommand):
    """Advance the bot's nonce beyond any value that another client of its key can have used.

    Fixes a key whose nonces the venue keeps rejecting; a repeat advances it again.
    """

    name: ClassVar[str] = "resync_nonce"


class ReconcilePositions(BotCommand):
    """Make the bot reconcile its records with its venue now, and fix what is safe to fix.

    Fixes drift from a missed fill or a lost answer; unexplained differences stay.

    Idempotent: it changes only what is certain.
    """

    name: ClassVar[str] = "reconcile_positions"


class CancelOrders(BotCommand):
    """Cancel all open orders of the bot, including protective stops; positions are not changed.

    Cancels all open orders while that is still possible.

    A safe action: idempotent, and opens nothing. A bot that keeps trading places new orders in its
    next pass; halt it first if that is not wanted.
    """

    name: ClassVar[str] = "cancel_orders"
    delivery: ClassVar[DeliverySemantics] = DeliverySemantics.SAFE_DIRECTION


class RotateLogs(BotCommand):
    """Make the bot rotate its log and compress the old file.

    Splits a flooding log into files that log retention can remove; no line is lost.

    Safe to repeat.
    """

    name: ClassVar[str] = "rotate_logs"


class FreeDisk(BotCommand):
    """Remove old log files of the bot to free disk space.

    Removes rotated log files, oldest first, down to a tenth of their size limit.

    Never a backup, a record or another file: only what log retention would remove later. It fails
    when there is nothing to remove, so that the runbook continues with the next step.
    """

    name: ClassVar[str] = "free_disk"


class RecyclePool(BotCommand):
    """Make the bot replace its database connections, each when it is idle.

    Fixes stale connections left by a failover, a proxy or a leak.

    Running statements finish first, and waiting ones are not lost. Safe to repeat.
    """

    name: ClassVar[str] = "recycle_pool"


class ReconnectDatabase(BotCommand):
    """Make the bot drop its database connection now and open a new one.

    Fixes a hung statement, or a connection that the server has dropped.

    Running statements fail, and the bot handles that like any database failure: it submits no order
    that it could not record. Safe to repeat.
    """

    name: ClassVar[str] = "reconnect_database"


class ClearQueue(BotCommand):
    """Drop stale items from the bot's queues.

    Drops only items without a waiting caller: never an order or a change of the records.

    It fails when there is nothing to drop, so that the runbook continues with the next step.
    """

    name: ClassVar[str] = "clear_queue"


class RelieveMemory(BotCommand):
    """Make the bot free memory that it does not need.

    Clears caches, collects garbage, and returns free memory to the kernel.

    It fails when the process uses no less afterwards: then the memory is in use and a restart is
    needed. All threads of the bot pause during garbage collection.
    """

    name: ClassVar[str] = "relieve_memory"


class ThrottleLoad(BotCommand):
    """Throttle the bot for a while: longer intervals between its passes and its probes.

    Relieves a venue's rate limit or a busy machine; the bot ends it after `seconds`.

    Meanwhile the bot checks its orders less often, but its dead man's switch and heartbeat are not
    affected. With several requests the latest end applies, and intervals are not extended twice;
    0 seconds end it.
    """

    name: ClassVar[str] = "throttle_load"
    params: ClassVar[frozenset[str]] = frozenset({"seconds"})

    async def undo(self, call: Call) -> str:
        """End the throttling by this attempt; an operator's own continues."""
        params = {"seconds": "0", "undoes": call.attempt_id}
        return await self._send(call, params, undo_id(call.attempt_id))


class FailoverBot(BotCommand):
    """Make the leader of a bot step down, so that a standby takes over.

    The target is the leader; a standby, or a leader without a standby, refuses.

    At most once per attempt, behind the instance's fence: a repeat would remove the new leader. The
    old leader cancels its orders, releases the lease, exits, and restarts as a standby. The fencing
    token of the lease protects the records, and its nonces the venue, even if the rest fails.
    """

    name: ClassVar[str] = "failover_bot"
    delivery: ClassVar[DeliverySemantics] = DeliverySemantics.ONE_SHOT
