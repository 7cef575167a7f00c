"""Have the bot compare its records with its venue now, and heal what is safe to heal."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class ReconcilePositions(BotCommand):
    """Cures what a missed fill or a lost answer has left behind; what nothing explains stays.

    A comparison heals only what is certain, so making another one does no harm.
    """

    name: ClassVar[str] = "reconcile_positions"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
