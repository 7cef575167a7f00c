"""Cancel all open orders of the bot, including protective stops; positions are not changed."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import OWN_BOTS, Kind


class CancelOrders(BotCommand):
    """Cancels all open orders while that is still possible.

    A safe action: idempotent, and opens nothing. A bot that keeps trading places new orders in its
    next pass; halt it first if that is not wanted.
    """

    name: ClassVar[str] = "cancel_orders"
    delivery: ClassVar[Delivery] = Delivery.SAFE_DIRECTION
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
