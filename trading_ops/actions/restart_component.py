"""Restart one component of the bot while the rest keeps running."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand


class RestartComponent(BotCommand):
    """Fixes a component that is stuck, such as a feed that is open but silent."""

    name: ClassVar[str] = "restart_component"
    params: ClassVar[frozenset[str]] = frozenset({"component"})
