"""Have the bot give back what old log files take of its disk."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class FreeDisk(BotCommand):
    """Removes log files that were moved aside, the oldest first, down to a tenth of their bound.

    Never a backup, a record or a file of others: only what the log's own policy would remove later.
    It fails when there is nothing to remove, so that the runbook goes on.
    """

    name: ClassVar[str] = "free_disk"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
