"""Put the bot in reduce-only mode: only orders that reduce its exposure."""

from typing import ClassVar

from trading_ops.actions.hold_trading import HoldTrading


class ReduceTrading(HoldTrading):
    """For a bot that should wind down its positions and open no new ones."""

    name: ClassVar[str] = "reduce_trading"
    command: ClassVar[str] = "reduce"
