"""Make the bot rotate its log and compress the old file."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class RotateLogs(BotCommand):
    """Splits a flooding log into files that log retention can remove; no line is lost.

    Safe to repeat.
    """

    name: ClassVar[str] = "rotate_logs"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
