"""Make the bot reconcile its records with its venue now, and fix what is safe to fix."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.target import OWN_BOTS, Kind


class ReconcilePositions(BotCommand):
    """Fixes drift from a missed fill or a lost answer; unexplained differences stay.

    Idempotent: it changes only what is certain.
    """

    name: ClassVar[str] = "reconcile_positions"
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
