"""Make the bot replace its database connections, each when it is idle."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class RecyclePool(BotCommand):
    """Fixes stale connections left by a failover, a proxy or a leak.

    Running statements finish first, and waiting ones are not lost. Safe to repeat.
    """

    name: ClassVar[str] = "recycle_pool"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
