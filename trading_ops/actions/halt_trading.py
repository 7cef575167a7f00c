"""Halt the bot: no new or amended orders; cancels and queries still work."""

from typing import ClassVar

from trading_ops.actions.hold_trading import HoldTrading


class HaltTrading(HoldTrading):
    """For a bot whose view of the market or of its own orders cannot be trusted."""

    name: ClassVar[str] = "halt_trading"
    command: ClassVar[str] = "halt"
