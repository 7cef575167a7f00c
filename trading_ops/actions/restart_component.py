"""Stop one component of the bot and start it anew, the rest running on."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand


class RestartComponent(BotCommand):
    """Cures a part that is stuck or deaf, such as a feed that is open but silent."""

    name: ClassVar[str] = "restart_component"
    params: ClassVar[frozenset[str]] = frozenset({"component"})
