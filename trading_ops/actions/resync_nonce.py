"""Advance the bot's nonce beyond any value that another client of its key can have used."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class ResyncNonce(BotCommand):
    """Fixes a key whose nonces the venue keeps rejecting; a repeat advances it again."""

    name: ClassVar[str] = "resync_nonce"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
