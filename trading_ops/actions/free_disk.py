"""Remove old log files of the bot to free disk space."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class FreeDisk(BotCommand):
    """Removes rotated log files, oldest first, down to a tenth of their size limit.

    Never a backup, a record or another file: only what log retention would remove later. It fails
    when there is nothing to remove, so that the runbook continues with the next step.
    """

    name: ClassVar[str] = "free_disk"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
