"""Orders that are meant to be sent, and the limits that they meet."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from trading_ops.agent import Side
from trading_ops.botkit.orders.checks import Intent, first_denial
from trading_ops.botkit.orders.market import Quote, Rules
from trading_ops.botkit.risk.checks import RiskInputs, limit_checks
from trading_ops.botkit.risk.limits import Holding, OrderRate
from trading_ops.botkit.risk.settings import RiskLimits
from trading_ops.instrument import BotMetrics

NOW = 1_000.0
SYMBOL = "BTC/USD"
RULES = Rules(tick=Decimal("0.1"), lot=Decimal("0.0001"), minimum=Decimal("0.01"))


def quote(middle: Decimal = Decimal(100)) -> Quote:
    return Quote(bid=middle - 1, ask=middle + 1, at=NOW)


def intent(side: Side = Side.BUY, quantity: str = "0.04", **given: Any) -> Intent:
    """An order for 4 at a price of 100, of a bot that has nothing."""
    fields: dict[str, Any] = {
        "symbol": SYMBOL,
        "side": side,
        "quantity": Decimal(quantity),
        "price": Decimal(100),
        "quote": quote(),
        "rules": RULES,
        "position": Decimal(0),
        "committed": Decimal(0),
        "at": NOW,
    }
    return Intent(**(fields | given))


def holding(symbol: str = SYMBOL, quantity: str = "0", **given: Any) -> Holding:
    fields: dict[str, Any] = {
        "symbol": symbol,
        "quantity": Decimal(quantity),
        "price": Decimal(100),
        "minimum": Decimal("0.01"),
    }
    return Holding(**(fields | given))


@dataclass
class Bot:
    """The facts about a bot that the checks get, and the code of their answer."""

    limits: RiskLimits = field(default_factory=RiskLimits)
    holdings: Sequence[Holding] = ()
    unknown_reason: str | None = None
    balance_age: float | None = 0.0
    sent: Sequence[float] = ()

    def __post_init__(self) -> None:
        self.metrics = BotMetrics(version="1", mode="paper", symbols=[SYMBOL])
        inputs = RiskInputs(
            holdings=lambda: self.holdings,
            unknown_reason=lambda: self.unknown_reason,
            balance_age=lambda: self.balance_age,
        )
        self.rate = OrderRate(self.limits.orders_seconds, self.sent)
        self.checks = limit_checks(self.limits, inputs, self.rate, self.metrics)

    def code(self, wanted: Intent) -> str | None:
        denial = first_denial(self.checks, wanted)
        return None if denial is None else denial.code
