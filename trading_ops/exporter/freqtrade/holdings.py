"""Positions, balances and profit of a Freqtrade, as metrics."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import Metric

from trading_ops.exporter.freqtrade import answers
from trading_ops.exporter.freqtrade.bot import FreqtradeBot
from trading_ops.instrument.families import family

LARGEST_COUNT = 100
"""Maximum number of pairs, and of currencies, with a series; the largest ones are kept."""


def trades(bot: FreqtradeBot) -> Iterator[Metric]:
    """Yield open trades and orders, positions, and their value."""
    count, trades, config = bot.count.fresh, bot.trades.fresh, bot.config.last
    if count is not None:
        yield family("trading_freqtrade_open_trades", {(): count.current})
        if config is not None:
            stake = (config.stake_currency,)
            yield family("trading_freqtrade_exposure", {stake: count.total_stake})
    if trades is not None:
        resting = sum(1 for trade in trades for order in trade.orders if order.is_open)
        yield family("trading_open_orders", {(): resting})
        held = {trade.pair for trade in trades if trade.amount}
        yield family("trading_open_positions", {(): len(held)})
        yield from _exposure(trades, config)
        net, pairs = _net(trades), _largest(trades)
        watched: dict[tuple[str, ...], float] = {(pair,): 0.0 for pair in bot.candles_opened}
        yield family("trading_position", watched | {(pair,): net[pair] for pair in pairs})
        yield family("trading_position_unrealized_pnl", watched | _unrealized(trades, pairs))


def _exposure(
    trades: Iterable[answers.OpenTrade], config: answers.Config | None
) -> Iterator[Metric]:
    """Yield the value of all positions, if all prices are known."""
    held = [trade for trade in trades if trade.amount]
    rates = [trade.current_rate for trade in held if trade.current_rate is not None]
    if config is not None and len(rates) == len(held):
        value = sum(trade.amount * rate for trade, rate in zip(held, rates, strict=True))
        yield family("trading_exposure", {(config.stake_currency,): value})


def _net(trades: Iterable[answers.OpenTrade]) -> dict[str, float]:
    """Return the amount that each pair with a trade holds; negative: short."""
    net: dict[str, float] = defaultdict(float)
    for trade in trades:
        net[trade.pair] += -trade.amount if trade.is_short else trade.amount
    return net


def _largest(trades: Iterable[answers.OpenTrade]) -> list[str]:
    """Return the pairs with the largest stakes."""
    stake: dict[str, float] = defaultdict(float)
    for trade in trades:
        stake[trade.pair] += abs(trade.stake_amount)
    return sorted(stake, key=stake.__getitem__, reverse=True)[:LARGEST_COUNT]


def _unrealized(
    trades: Iterable[answers.OpenTrade], pairs: Iterable[str]
) -> dict[tuple[str, ...], float]:
    """Return the unrealized profit of each pair of which all trades have a price."""
    profits: dict[str, list[float | None]] = defaultdict(list)
    for trade in trades:
        profits[trade.pair].append(trade.profit_abs)
    return {
        (pair,): sum(known)
        for pair in pairs
        if len(known := [profit for profit in profits[pair] if profit is not None])
        == len(profits[pair])
    }


def money(bot: FreqtradeBot) -> Iterator[Metric]:
    """Yield balances, equity, profit and loss; nothing while the currency is unknown."""
    config, daily = bot.config.last, bot.daily.fresh
    stake: tuple[str, ...] | None = (config.stake_currency,) if config is not None else None
    if bot.balance.fresh is not None:
        yield from _balance(bot.balance.fresh, bot.equity, stake)
    if bot.profit.fresh is not None:
        yield from _profit(bot.profit.fresh, stake)
    if daily is not None and stake is not None:
        yield family("trading_freqtrade_daily_profit", {stake: daily.data[0].abs_profit})


def _balance(
    balance: answers.FreqtradeBalance, equity: float | None, stake: tuple[str, ...] | None
) -> Iterator[Metric]:
    largest = sorted(balance.currencies, key=lambda money: abs(money.est_stake), reverse=True)
    held: dict[tuple[str, ...], float] = {
        (money.currency,): money.balance for money in largest[:LARGEST_COUNT]
    }
    yield family("trading_balance", held)
    if stake is None:
        return
    if equity is not None:
        yield family("trading_equity", {stake: equity})
    if balance.starting_capital is not None:
        yield family("trading_freqtrade_starting_capital", {stake: balance.starting_capital})


def _profit(profit: answers.Profit, stake: tuple[str, ...] | None) -> Iterator[Metric]:
    yield family("trading_freqtrade_closed_trades_total", {(): profit.closed_trade_count})
    yield family("trading_freqtrade_max_drawdown_ratio", {(): profit.max_drawdown})
    if profit.winning_trades is not None:
        yield family("trading_freqtrade_won_trades_total", {(): profit.winning_trades})
    if profit.latest_trade_timestamp:
        latest = profit.latest_trade_timestamp / 1000
        yield family("trading_freqtrade_last_trade_timestamp_seconds", {(): latest})
    if profit.current_drawdown is not None:
        yield family("trading_freqtrade_current_drawdown_ratio", {(): profit.current_drawdown})
    if stake is not None:
        closed = profit.profit_closed_coin
        yield family("trading_realized_pnl", {stake: closed})
        yield family("trading_unrealized_pnl", {stake: profit.profit_all_coin - closed})
