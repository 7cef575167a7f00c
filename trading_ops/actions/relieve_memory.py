"""Make the bot free memory that it does not need."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class RelieveMemory(BotCommand):
    """Clears caches, collects garbage, and returns free memory to the kernel.

    It fails when the process uses no less afterwards: then the memory is in use and a restart is
    needed. All threads of the bot pause during garbage collection.
    """

    name: ClassVar[str] = "relieve_memory"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
