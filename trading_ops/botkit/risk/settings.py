"""The bot's own limits, as its configuration file has them under `risk`."""

from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Held = Literal["reducing", "halted"]

AMOUNTS = ("position_size", "exposure", "daily_loss", "total_drawdown")
PERCENTS = ("collar_percent", "again_percent", "excess_percent", "stop_percent")


class RiskLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The defaults are those of a cautious first week; amounts are in the quote currency.

    Where symbols have several quote currencies, each amount holds for each of them. What each
    limit means, and what follows when it is reached, is told in docs/risk.md.
    """

    position_size: Decimal = Decimal(5)
    """Most that one position may be worth once an order is filled."""

    open_positions: Count = 2
    """Most symbols in which something is held or being bought."""

    exposure: Decimal = Decimal(10)
    """Most that all positions and all open buys together may be worth."""

    daily_loss: Decimal = Decimal(10)
    """Most that may be lost in a trading day, what is open counted at current prices."""

    daily_loss_state: Held = "reducing"
    """What the bot is held in when that is lost."""

    total_drawdown: Decimal = Decimal(30)
    """Most that the bot's result may be below its highest, which is never below zero."""

    total_drawdown_state: Held = "halted"
    """What the bot is held in when it is so far below."""

    day_zone: str = "UTC"
    """The time zone of the trading day, as `America/New_York`."""

    day_start: Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "00:00"
    """When it begins there."""

    orders: Count = 60
    """Most orders in `orders_seconds`; orders that shrink a position may be twice as many."""

    orders_seconds: Positive = 60.0
    """The time over which orders are counted."""

    collar_percent: Decimal = Decimal(2)
    """How far a limit price may be from the middle of the last quote."""

    balance_seconds: Positive = 30.0
    """Age from which balances are too old to take on anything new."""

    again_percent: Decimal = Decimal(25)
    """Share of a loss limit that must be lost anew, after a person lifted its hold, to be held."""

    excess_percent: Decimal = Decimal(50)
    """How far positions may outgrow a limit by price alone before the bot is held."""

    stop_percent: Decimal = Decimal(5)
    """How far below the mean entry the stop-loss order of a position is."""

    interval_seconds: Positive = 1.0
    """Time between two looks at losses and positions; orders do not wait for them."""

    def __post_init__(self) -> None:
        """Refuse what could not be a limit.

        Raises:
            ValueError: names the key.
        """
        for name in (*AMOUNTS, *PERCENTS):
            value: Decimal = getattr(self, name)
            if not value.is_finite() or value <= 0:
                raise ValueError(f"{name} must be a number above zero")
        if self.stop_percent >= 100:  # noqa: PLR2004 - a price below zero
            raise ValueError("stop_percent must be below 100")
        try:
            ZoneInfo(self.day_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"day_zone: {self.day_zone!r} is no time zone") from error
