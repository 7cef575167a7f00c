"""Equity, exposure and profit for the metrics: computed exactly, exported as floats."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from trading_ops.botkit.orders.market import Quote
from trading_ops.botkit.orders.order import Position
from trading_ops.instrument import BotMetrics


def record_money(
    metrics: BotMetrics,
    *,
    balances: Mapping[str, Decimal],
    positions: Mapping[str, Position],
    quotes: Mapping[str, Quote],
) -> None:
    """Record equity, exposure and profit of each quote currency for which all prices are known.

    Equity counts the balance of the quote currency and of every base currency that is traded
    against it; a currency that is not traded is not counted.
    """
    for currency in {symbol.partition("/")[2] for symbol in quotes}:
        traded = {s: q for s, q in quotes.items() if s.partition("/")[2] == currency}
        if currency in balances:
            metrics.equity(currency, float(balances[currency] + _value(balances, traded)))
        held = [(positions[s], q) for s, q in traded.items() if s in positions]
        metrics.exposure(currency, float(_sum(abs(p.quantity) * q.middle for p, q in held)))
        metrics.profit(
            currency,
            realized=float(_sum(position.realized for position, _ in held)),
            unrealized=float(_sum(p.unrealized(quote.middle) for p, quote in held)),
        )

    metrics.open_positions(sum(position.quantity != 0 for position in positions.values()))


def _value(balances: Mapping[str, Decimal], traded: Mapping[str, Quote]) -> Decimal:
    return _sum(
        balances.get(symbol.partition("/")[0], Decimal(0)) * quote.middle
        for symbol, quote in traded.items()
    )


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))
