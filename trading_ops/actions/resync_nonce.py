"""Move the bot's nonces on, past all that another client of its key can have used."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class ResyncNonce(BotCommand):
    """Cures a key whose nonces the venue goes on refusing; doing it again jumps again, no more."""

    name: ClassVar[str] = "resync_nonce"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
