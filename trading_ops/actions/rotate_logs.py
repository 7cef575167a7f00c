"""Have the bot go on in a new log file, and compress what was written before."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class RotateLogs(BotCommand):
    """Keeps a log that floods in pieces that its own policy can remove; no line is lost by it.

    Twice is a second, shorter file, and does no harm.
    """

    name: ClassVar[str] = "rotate_logs"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
