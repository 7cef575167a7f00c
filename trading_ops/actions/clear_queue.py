"""Drop stale items from the bot's queues."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class ClearQueue(BotCommand):
    """Drops only items without a waiting caller: never an order or a change of the records.

    It fails when there is nothing to drop, so that the runbook continues with the next step.
    """

    name: ClassVar[str] = "clear_queue"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
