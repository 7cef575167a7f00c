"""Make the leader of a bot step down, so that a standby takes over."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import OWN_BOTS, Kind


class FailoverBot(BotCommand):
    """The target is the leader; a standby, or a leader without a standby, refuses.

    At most once per attempt, behind the instance's fence: a repeat would remove the new leader. The
    old leader cancels its orders, releases the lease, exits, and restarts as a standby. The fencing
    token of the lease protects the records, and its nonces the venue, even if the rest fails.
    """

    name: ClassVar[str] = "failover_bot"
    delivery: ClassVar[Delivery] = Delivery.ONE_SHOT
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
