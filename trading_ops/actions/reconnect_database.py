"""Make the bot drop its database connection now and open a new one."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class ReconnectDatabase(BotCommand):
    """Fixes a hung statement, or a connection that the server has dropped.

    Running statements fail, and the bot handles that like any database failure: it submits no order
    that it could not record. Safe to repeat.
    """

    name: ClassVar[str] = "reconnect_database"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
