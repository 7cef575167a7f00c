"""Stop one component of the bot and start it anew, the rest running on."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class RestartComponent(BotCommand):
    """Cures a part that is stuck or deaf, such as a feed that is open but silent."""

    name: ClassVar[str] = "restart_component"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
    params: ClassVar[frozenset[str]] = frozenset({"component"})
