"""Give the bot a new session at its broker; the old one is thrown away."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand


class ReconnectBroker(BotCommand):
    """Cures sessions that the venue has forgotten or blocked while connections still stand."""

    name: ClassVar[str] = "reconnect_broker"
