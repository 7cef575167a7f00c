"""Have the bot give up its connection to its database now, and make a new one."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class ReconnectDatabase(BotCommand):
    """Cures a statement that hangs, or a server that has forgotten the connection.

    What runs is made to fail, which the bot answers as it answers any failure of its records: it
    submits nothing that it could not record. Doing it again interrupts again, no more.
    """

    name: ClassVar[str] = "reconnect_database"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
