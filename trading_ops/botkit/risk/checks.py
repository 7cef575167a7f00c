"""The limits as pre-trade checks; orders that reduce a position pass most of them.

Two checks apply to reducing orders as well. The price collar denies an exit at a mistaken price
that would give the position away. The order rate, with twice the limit for exits, stops a loop of
orders before the venue blocks the API key: with a blocked key nothing can be cancelled either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading_ops.agent import Denial, Side
from trading_ops.botkit.orders.checks import Check, Intent
from trading_ops.botkit.orders.order import OrderType
from trading_ops.botkit.risk.limits import (
    Holding,
    OrderRate,
    deviation_percent,
    exposure_of,
    holding_of,
    open_symbols,
    position_value_after,
    quote_of,
    unfavorable,
)
from trading_ops.botkit.risk.settings import RiskLimits
from trading_ops.instrument import BotMetrics

EXITS_PER_ENTRY = 2
"""The order rate limit of exits, as a multiple of that of entries."""


@dataclass(frozen=True, kw_only=True)
class RiskInputs:
    """Inputs of the checks; each function is called for each order."""

    holdings: Callable[[], Sequence[Holding]]
    unknown_reason: Callable[[], str | None]
    """Why losses and positions are not known reliably, or None if they are."""

    balance_age: Callable[[], float | None]
    """Age of the balances in seconds; None: they were never read."""


def limit_checks(
    limits: RiskLimits, inputs: RiskInputs, rate: OrderRate, metrics: BotMetrics
) -> tuple[Check, ...]:
    """Return the checks in the order in which to run them.

    The last one counts the order against the order rate, so no check may follow it. A dry run does
    not count the order; a denied order counts as a breach in `metrics`, dry run or not.

    Args:
        limits: the configured limits.
        inputs: the current state of the bot.
        rate: counts the orders that pass.
        metrics: of the bot.
    """

    def counted(limit: str, check: Check) -> Check:
        def run(intent: Intent) -> Denial | None:
            denial = check(intent)
            if denial is not None:
                metrics.risk_limit_broken(limit)
            return denial

        return run

    def opening(limit: str, check: Check) -> Check:
        return counted(limit, lambda intent: None if intent.reduces_position else check(intent))

    return (
        opening("market_data_age", _known(inputs)),
        opening("balance_age", _balance_age(limits, inputs)),
        counted("price_collar", _price_collar(limits, metrics)),
        opening("position_size", _position_size(limits, inputs)),
        opening("open_positions", _open_positions(limits, inputs)),
        opening("exposure", _exposure(limits, inputs)),
        counted("order_rate", _order_rate(limits, rate)),
    )


def _known(inputs: RiskInputs) -> Check:
    def check(_intent: Intent) -> Denial | None:
        reason = inputs.unknown_reason()
        return None if reason is None else Denial(code="risk_unknown", detail=reason)

    return check


def _balance_age(limits: RiskLimits, inputs: RiskInputs) -> Check:
    def check(_intent: Intent) -> Denial | None:
        age = inputs.balance_age()
        if age is not None and age <= limits.balance_seconds:
            return None
        detail = "balances were never read" if age is None else f"balances are {age:.0f} s old"
        return Denial(code="balance_stale", detail=detail)

    return check


def _price_collar(limits: RiskLimits, metrics: BotMetrics) -> Check:
    def check(intent: Intent) -> Denial | None:
        if intent.type is not OrderType.LIMIT:
            return None  # no limit price, and a stop price is away from the market by design
        deviation = deviation_percent(intent.price, intent.quote.middle)
        used = float(abs(deviation) / limits.collar_percent)
        metrics.risk_limit_used("price_collar", used)
        if abs(deviation) <= limits.collar_percent:
            return None
        if intent.reduces_position and not unfavorable(intent.side, deviation):
            return None  # an exit above the market: at worst it is not filled
        detail = f"the price deviates {deviation:+.2f} % from the mid price"
        return Denial(code="price_collar", detail=detail)

    return check


def _position_size(limits: RiskLimits, inputs: RiskInputs) -> Check:
    def check(intent: Intent) -> Denial | None:
        if intent.side is Side.SELL:
            return Denial(code="risk_position_size", detail="the order sells more than is held")
        held = holding_of(inputs.holdings(), intent.symbol)
        value = position_value_after(held, intent.quantity, intent.price)
        return _above(
            "risk_position_size", "the position would be worth", value, limits.position_size
        )

    return check


def _open_positions(limits: RiskLimits, inputs: RiskInputs) -> Check:
    def check(intent: Intent) -> Denial | None:
        number = len(open_symbols(inputs.holdings()) | {intent.symbol})
        if number <= limits.open_positions:
            return None
        detail = f"{number} positions would be open, the limit is {limits.open_positions}"
        return Denial(code="risk_open_positions", detail=detail)

    return check


def _exposure(limits: RiskLimits, inputs: RiskInputs) -> Check:
    def check(intent: Intent) -> Denial | None:
        now = exposure_of(inputs.holdings(), quote_of(intent.symbol))
        after = now + intent.quantity * intent.price
        return _above("risk_exposure", "the exposure would be", after, limits.exposure)

    return check


def _order_rate(limits: RiskLimits, rate: OrderRate) -> Check:
    def check(intent: Intent) -> Denial | None:
        limit = limits.orders * (EXITS_PER_ENTRY if intent.reduces_position else 1)
        if rate.count(intent.at) + intent.ahead >= limit:
            detail = f"{limit} orders were sent within {limits.orders_seconds:g} s"
            return Denial(code="risk_order_rate", detail=detail)
        if not intent.dry:
            rate.add(intent.at)
        return None

    return check


def _above(code: str, subject: str, amount: Decimal, limit: Decimal) -> Denial | None:
    if amount <= limit:
        return None
    return Denial(code=code, detail=f"{subject} {amount:.8g}, above the limit of {limit}")
