"""Throttle the bot for a while: longer intervals between its passes and its probes."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class ThrottleLoad(BotCommand):
    """Relieves a venue's rate limit or a busy machine; the bot ends it after `seconds`.

    Meanwhile the bot checks its orders less often, but its dead-man switch and heartbeat are not
    affected. With several requests the latest end applies, and intervals are not extended twice;
    0 seconds end it.
    """

    name: ClassVar[str] = "throttle_load"
    params: ClassVar[frozenset[str]] = frozenset({"seconds"})
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
