"""Have the bot give back memory that it holds and does not need."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class RelieveMemory(BotCommand):
    """Empties caches, collects garbage, and returns what is free to the kernel.

    It fails when the process takes no less afterwards: the memory is in use then, and only a new
    process has less. All threads of the bot stand still while garbage is collected.
    """

    name: ClassVar[str] = "relieve_memory"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
