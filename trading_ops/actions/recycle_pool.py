"""Have the bot replace its connections to its database, each when its work is done."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class RecyclePool(BotCommand):
    """Cures connections that stand and are of no use: left by a failover, a proxy or a leak.

    What runs is finished first, and what waits is not lost; again is one connection more.
    """

    name: ClassVar[str] = "recycle_pool"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
