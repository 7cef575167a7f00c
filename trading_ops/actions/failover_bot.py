"""Have a bot's leading instance give its leadership up, so that a standby takes over."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import OWN_BOTS, Kind


class FailoverBot(BotCommand):
    """The target is the instance that leads: a standby, or one that nobody watches, refuses.

    At most once for each attempt, behind the instance's own fence: done again it would take the
    leadership from the next one. The old leader cancels its orders, gives the lease up, ends, and
    is a standby after its next start. The token of the lease keeps it from the records and its
    nonces from the venue, whatever becomes of the rest.
    """

    name: ClassVar[str] = "failover_bot"
    delivery: ClassVar[Delivery] = Delivery.ONE_SHOT
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
