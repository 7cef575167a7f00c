"""The limits as checks that every order passes; what shrinks a position passes nearly all.

Two hold for orders that shrink, too: the collar, on the side on which it gives money away, and the
order rate, with twice the room. An exit that is priced by mistake sells the position for nothing,
and a loop of orders gets the key blocked, after which nothing can be cancelled either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading_ops.agent import Denial, Side
from trading_ops.botkit.orders.checks import Check, Intent
from trading_ops.botkit.orders.order import OrderType
from trading_ops.botkit.risk.limits import (
    Holding,
    Rate,
    deviation_percent,
    exposure_of,
    find,
    positions_of,
    quote_of,
    size_after,
    worsens,
)
from trading_ops.botkit.risk.settings import RiskLimits
from trading_ops.instrument import BotMetrics

EXITS_PER_ENTRY = 2
"""How many times as many orders may shrink a position as may open one."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the limits look at; each is asked at each order."""

    holdings: Callable[[], Sequence[Holding]]
    blind: Callable[[], str | None]
    """Why losses and positions are not known well enough, or None."""

    balance_age: Callable[[], float | None]
    """In seconds; None: balances were never read."""


def limit_checks(
    limits: RiskLimits, facts: Facts, rate: Rate, metrics: BotMetrics
) -> tuple[Check, ...]:
    """Return the checks; the last one counts the order, so nothing may come after it.

    An order that is only asked about counts nothing, unless it is denied: then it is told as such.
    """

    def counted(limit: str, check: Check) -> Check:
        def run(intent: Intent) -> Denial | None:
            denial = check(intent)
            if denial is not None:
                metrics.risk_limit_broken(limit)
            return denial

        return run

    def opening(limit: str, check: Check) -> Check:
        return counted(limit, lambda intent: None if intent.shrinks else check(intent))

    return (
        opening("market_data_age", _known(facts)),
        opening("balance_age", _balance(limits, facts)),
        counted("price_collar", _collar(limits, metrics)),
        opening("position_size", _size(limits, facts)),
        opening("open_positions", _positions(limits, facts)),
        opening("exposure", _exposure(limits, facts)),
        counted("order_rate", _rate(limits, rate)),
    )


def _known(facts: Facts) -> Check:
    def check(_intent: Intent) -> Denial | None:
        why = facts.blind()
        return None if why is None else Denial(code="risk_unknown", detail=why)

    return check


def _balance(limits: RiskLimits, facts: Facts) -> Check:
    def check(_intent: Intent) -> Denial | None:
        age = facts.balance_age()
        if age is not None and age <= limits.balance_seconds:
            return None
        told = "were never read" if age is None else f"are {age:.0f} s old"
        return Denial(code="balance_stale", detail=f"balances {told}")

    return check


def _collar(limits: RiskLimits, metrics: BotMetrics) -> Check:
    def check(intent: Intent) -> Denial | None:
        if intent.type is not OrderType.LIMIT:
            return None  # it has no limit price; a stop is away from the market by its nature
        off = deviation_percent(intent.price, intent.quote.middle)
        used = float(abs(off) / limits.collar_percent)
        metrics.risk_limit_used("price_collar", used)
        if abs(off) <= limits.collar_percent:
            return None
        if intent.shrinks and not worsens(intent.side, off):
            return None  # it asks for more than the market pays: it may rest in vain
        detail = f"the price is {off:+.2f} % off the middle of the quote"
        return Denial(code="price_collar", detail=detail)

    return check


def _size(limits: RiskLimits, facts: Facts) -> Check:
    def check(intent: Intent) -> Denial | None:
        if intent.side is Side.SELL:
            return Denial(code="risk_position_size", detail="it sells more than is held")
        held = find(facts.holdings(), intent.symbol)
        size = size_after(held, intent.quantity, intent.price)
        return _above(
            "risk_position_size", "the position would be worth", size, limits.position_size
        )

    return check


def _positions(limits: RiskLimits, facts: Facts) -> Check:
    def check(intent: Intent) -> Denial | None:
        number = len(positions_of(facts.holdings()) | {intent.symbol})
        if number <= limits.open_positions:
            return None
        detail = f"{number} positions would be open, of {limits.open_positions}"
        return Denial(code="risk_open_positions", detail=detail)

    return check


def _exposure(limits: RiskLimits, facts: Facts) -> Check:
    def check(intent: Intent) -> Denial | None:
        now = exposure_of(facts.holdings(), quote_of(intent.symbol))
        after = now + intent.quantity * intent.price
        return _above("risk_exposure", "all positions would be worth", after, limits.exposure)

    return check


def _rate(limits: RiskLimits, rate: Rate) -> Check:
    def check(intent: Intent) -> Denial | None:
        most = limits.orders * (EXITS_PER_ENTRY if intent.shrinks else 1)
        if rate.count(intent.at) + intent.ahead >= most:
            detail = f"{most} orders were sent within {limits.orders_seconds:g} s"
            return Denial(code="risk_order_rate", detail=detail)
        if not intent.dry:
            rate.add(intent.at)
        return None

    return check


def _above(code: str, what: str, amount: Decimal, limit: Decimal) -> Denial | None:
    if amount <= limit:
        return None
    return Denial(code=code, detail=f"{what} {amount:.8g}, above {limit}")
