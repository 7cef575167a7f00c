"""Have the bot drop what waits in its queues and that nobody waits for any more."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class ClearQueue(BotCommand):
    """Never an order, nor a change of the records: what somebody still wants keeps its place.

    It fails when there is nothing of that kind, so that the runbook goes on.
    """

    name: ClassVar[str] = "clear_queue"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
