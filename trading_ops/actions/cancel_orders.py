"""Cancel every open order of the bot, protective stops too; positions stay as they are."""

from typing import ClassVar

from trading_ops.actions.bot_command import BotCommand
from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import OWN_BOTS, Kind


class CancelOrders(BotCommand):
    """Takes off the market what nobody may be able to take off later.

    The safe direction: it opens nothing, and cancelling what is cancelled does no harm. A bot that
    trades on places new orders in its next pass; halt it first where that is not wanted.
    """

    name: ClassVar[str] = "cancel_orders"
    delivery: ClassVar[Delivery] = Delivery.SAFE_DIRECTION
    kinds: ClassVar[frozenset[Kind]] = OWN_BOTS
