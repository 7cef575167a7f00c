"""Let the bot submit and change nothing more; cancels and queries pass."""

from typing import ClassVar

from trading_ops.actions.hold_trading import HoldTrading


class HaltTrading(HoldTrading):
    """For a bot whose view of the market or of its own orders cannot be trusted."""

    name: ClassVar[str] = "halt_trading"
    command: ClassVar[str] = "halt"
