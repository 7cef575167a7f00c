"""The risk limits, as a bot's configuration file has them under `risk`."""

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
    """The configured limits. The defaults suit a cautious first week.

    Amounts are in the quote currency. If symbols have several quote currencies, each amount applies
    to each of them separately. docs/risk.md describes each limit and what a breach does.
    """

    position_size: Decimal = Decimal(5)
    """Maximum value of one position once an order is filled."""

    open_positions: Count = 2
    """Maximum number of symbols with a position or an open buy."""

    exposure: Decimal = Decimal(10)
    """Maximum value of all positions and all open buys together."""

    daily_loss: Decimal = Decimal(10)
    """Maximum loss in a trading day, unrealized losses included."""

    daily_loss_state: Held = "reducing"
    """The trading state after a breach of `daily_loss`."""

    total_drawdown: Decimal = Decimal(30)
    """Maximum distance of the result below its highest, which is never below zero."""

    total_drawdown_state: Held = "halted"
    """The trading state after a breach of `total_drawdown`."""

    day_zone: str = "UTC"
    """The time zone of the trading day, such as `America/New_York`."""

    day_start: Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "00:00"
    """When the trading day starts in that zone, HH:MM."""

    orders: Count = 60
    """Maximum orders in `orders_seconds`; twice as many for orders that reduce a position."""

    orders_seconds: Positive = 60.0
    """The window over which orders are counted."""

    collar_percent: Decimal = Decimal(2)
    """Maximum deviation of a limit price from the mid price of the last quote."""

    balance_seconds: Positive = 30.0
    """Maximum age of balances for orders that open or increase a position."""

    again_percent: Decimal = Decimal(25)
    """Share of a loss limit that must be lost on top of an accepted loss before the next hold."""

    excess_percent: Decimal = Decimal(50)
    """How far positions may exceed a limit through price changes alone before the bot is held."""

    stop_percent: Decimal = Decimal(5)
    """Distance of a position's stop-loss order below the mean entry price."""

    interval_seconds: Positive = 1.0
    """Time between two evaluations of losses and positions; orders do not wait for them."""

    def __post_init__(self) -> None:
        """Validate the values.

        Raises:
            ValueError: names the invalid key.
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
            raise ValueError(f"day_zone: unknown time zone {self.day_zone!r}") from error
