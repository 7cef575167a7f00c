"""Have the bot do less for a while: longer pauses between its passes and between its probes."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class ThrottleLoad(BotCommand):
    """Relieves a venue's rate limit or a busy machine; the bot itself ends it after `seconds`.

    The bot looks after its orders less often meanwhile, but never so seldom that its dead-man
    switch or its heartbeat suffers. Asked again, the later end stands: pauses are not stretched
    twice; 0 seconds end it.
    """

    name: ClassVar[str] = "throttle_load"
    params: ClassVar[frozenset[str]] = frozenset({"seconds"})
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
