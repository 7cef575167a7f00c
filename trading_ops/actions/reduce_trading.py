"""Let only those of the bot's orders pass that shrink its exposure."""

from typing import ClassVar

from trading_ops.actions.hold_trading import HoldTrading


class ReduceTrading(HoldTrading):
    """For a bot that should wind down what it has, and take on nothing new."""

    name: ClassVar[str] = "reduce_trading"
    command: ClassVar[str] = "reduce"
