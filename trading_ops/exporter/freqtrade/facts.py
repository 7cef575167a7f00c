"""Maps Freqtrade's responses to metrics: one function for each group of metrics.

`trading_*` without `freqtrade` are the metrics of our own bots, with the same meaning, so that the
same rules, boards and runbooks apply to both. docs/freqtrade.md lists the mapping.
"""

from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import Metric

from trading_ops.exporter.freqtrade import answers, holdings
from trading_ops.exporter.freqtrade.bot import FreqtradeBot
from trading_ops.instrument.families import family

GLOBAL = "*"
STALE_TIMEFRAMES = 3
"""Normally the newest candle opened 1 to 2 timeframes ago; older than 3 it is late."""

LOOP_SECONDS = 60.0
"""A loop takes about 5 s; one that takes longer than this is stuck, often in the exchange."""

NAMES = (
    "trading_bot_info",
    "trading_bot_start_timestamp_seconds",
    "trading_bot_heartbeat_timestamp_seconds",
    "trading_state",
    "trading_component_up",
    "trading_market_data_timestamp_seconds",
    "trading_component_last_success_timestamp_seconds",
    "trading_open_orders",
    "trading_open_positions",
    "trading_exposure",
    "trading_position",
    "trading_position_unrealized_pnl",
    "trading_balance",
    "trading_equity",
    "trading_realized_pnl",
    "trading_unrealized_pnl",
    "trading_freqtrade_info",
    "trading_freqtrade_open_trades",
    "trading_freqtrade_max_open_trades",
    "trading_freqtrade_exposure",
    "trading_freqtrade_closed_trades_total",
    "trading_freqtrade_won_trades_total",
    "trading_freqtrade_last_trade_timestamp_seconds",
    "trading_freqtrade_starting_capital",
    "trading_freqtrade_daily_profit",
    "trading_freqtrade_current_drawdown_ratio",
    "trading_freqtrade_max_drawdown_ratio",
    "trading_freqtrade_locks",
    "trading_freqtrade_exchange_warnings_total",
    "trading_freqtrade_reloads_total",
    "trading_freqtrade_candle_timestamp_seconds",
    "trading_freqtrade_analyzed_timestamp_seconds",
    "trading_freqtrade_timeframe_seconds",
)
"""Every metric of a Freqtrade whose endpoints all answer; `message_metrics` has those of its
messages."""


def facts(bot: FreqtradeBot, now: float) -> Iterator[Metric]:
    """Yield the known metrics of the bot; unknown ones have no family."""
    yield from _config(bot)
    yield from _times(bot)
    yield from _state(bot, now)
    yield from _components(bot, now)
    yield from _market_data(bot, now)
    yield from holdings.trades(bot)
    yield from holdings.money(bot)
    yield family("trading_freqtrade_exchange_warnings_total", {(): bot.exchange_errors.total})
    yield family("trading_freqtrade_reloads_total", {(): bot.reloads.total})
    if bot.messages is not None:
        yield from bot.messages.families()


def _config(bot: FreqtradeBot) -> Iterator[Metric]:
    config = bot.config.fresh
    if config is None:
        return
    mode = "paper" if config.dry_run else "live"
    yield family("trading_bot_info", {(config.version, mode): 1})
    named = (config.strategy or "", config.exchange, config.timeframe or "")
    yield family("trading_freqtrade_info", {named: 1})
    limit = config.max_open_trades
    if limit is not None and limit >= 0:
        yield family("trading_freqtrade_max_open_trades", {(): limit})


def _times(bot: FreqtradeBot) -> Iterator[Metric]:
    health = bot.health.last  # an old timestamp is still correct, and rules use its age
    if health is None:
        return
    start, heartbeat = health.bot_startup_ts, health.last_process_ts
    if start is not None:
        yield family("trading_bot_start_timestamp_seconds", {(): start})
    if heartbeat is not None:
        yield family("trading_bot_heartbeat_timestamp_seconds", {(): heartbeat})


def _state(bot: FreqtradeBot, now: float) -> Iterator[Metric]:
    found, config = bot.locks.fresh, bot.config.fresh
    if found is None:
        return
    locks = [lock for lock in found.locks if lock.active and lock.lock_end_timestamp / 1000 > now]
    over_all = sum(1 for lock in locks if lock.pair == GLOBAL)
    yield family(
        "trading_freqtrade_locks",
        {("global",): over_all, ("pair",): len(locks) - over_all},
    )
    if config is not None and config.state != "reload_config":
        holds = trading_state(config, locked=over_all > 0)
        states = ("active", "reducing", "halted")
        yield family("trading_state", {(state,): float(state == holds) for state in states})


def trading_state(config: answers.Config, *, locked: bool) -> str:
    """Return our trading state for Freqtrade's state and a global lock.

    A pause alone is lost at a reload, and a forced entry ignores a lock, so only both together are
    a halt. Either one alone prevents entries and allows exits.
    """
    if config.state == "stopped" or (config.state == "paused" and locked):
        return "halted"
    return "reducing" if locked or config.state == "paused" else "active"


def _components(bot: FreqtradeBot, now: float) -> Iterator[Metric]:
    up: dict[tuple[str, ...], float] = {}
    if bot.logs.fresh is not None:
        up["broker",] = not bot.exchange_errors.is_failing(now)
    # A stopped bot runs no loop and is not stuck; its state shows that.
    if bot.candles.last is not None and not bot.is_stopped:
        ends = _fresh_until(bot, bot.candles.last).values()
        up["feed",] = any(now <= end for end in ends)
    health = bot.health.last
    if health is not None and health.last_process_ts is not None and not bot.is_stopped:
        up["heartbeat",] = now - health.last_process_ts <= LOOP_SECONDS
    if up:
        yield family("trading_component_up", {key: float(value) for key, value in up.items()})
    yield from _last_work(bot)


def _last_work(bot: FreqtradeBot) -> Iterator[Metric]:
    """Yield when a complete loop, and the strategy in it, last finished."""
    last: dict[tuple[str, ...], float] = {}
    if bot.health.last is not None and bot.health.last.last_process_ts is not None:
        last["heartbeat",] = bot.health.last.last_process_ts
    if bot.analyzed:
        last["signals",] = max(bot.analyzed.values())
    if last:
        yield family("trading_component_last_success_timestamp_seconds", last)


def _market_data(bot: FreqtradeBot, now: float) -> Iterator[Metric]:
    timeframe = bot.candles.last
    if timeframe is None:
        return
    opened: dict[tuple[str, ...], float] = {
        (pair,): moment for pair, moment in bot.candles_opened.items()
    }
    yield family("trading_freqtrade_timeframe_seconds", {(): timeframe})
    analyzed: dict[tuple[str, ...], float] = {(pair,): at for pair, at in bot.analyzed.items()}
    yield family("trading_freqtrade_analyzed_timestamp_seconds", analyzed)
    yield family("trading_freqtrade_candle_timestamp_seconds", opened)
    if bot.is_stopped:
        return  # then it fetches no candles, which is not a dead feed
    ends = _fresh_until(bot, timeframe)
    yield family(
        "trading_market_data_timestamp_seconds",
        {(pair,): min(now, end) for pair, end in ends.items()},
    )


def _fresh_until(bot: FreqtradeBot, timeframe: float) -> Mapping[str, float]:
    """Return the time of each pair's market data, equivalent to the last tick of our own bots.

    A healthy bot on candles gets no data for a whole timeframe. The time of its market data is
    therefore the last moment at which its candles were as fresh as possible, so that the rule with
    a limit of five seconds works for both kinds of bot.
    """
    return {
        pair: opened + STALE_TIMEFRAMES * timeframe for pair, opened in bot.candles_opened.items()
    }
