"""Make the bot open a new session at its broker and drop the old one."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand


class ReconnectBroker(BotCommand):
    """Fixes sessions that the venue has dropped or blocked while connections are still open."""

    name: ClassVar[str] = "reconnect_broker"
