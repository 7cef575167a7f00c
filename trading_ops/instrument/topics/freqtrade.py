"""Metrics that only Freqtrade has; the others use the names of our own bots.

One bot per scrape, with `?bot=`; `bot` and `venue` are target labels.
"""

from trading_ops.instrument.metric import (
    Metric,
    MetricType,
    Owner,
    exporter_counter,
    exporter_gauge,
)

MESSAGES = (
    *("status", "warning", "exception", "startup"),
    *("entry", "entry_fill", "entry_cancel", "exit", "exit_fill", "exit_cancel"),
    *("protection_trigger", "protection_trigger_global", "liquidation_warning"),
    *("strategy_msg", "new_candle", "other"),
)
"""Message types that are not requested: candles and whitelists are not used."""

# Freqtrade starts its loop about a second after a candle's close, then queries the exchange.
DELAY_BUCKETS = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0)

FREQTRADE: tuple[Metric, ...] = (
    exporter_gauge(
        name="trading_freqtrade_info",
        labels=("strategy_class", "exchange", "timeframe"),
        help="Always 1; labels for the version, strategy and timeframe.",
        why="Shows a wrong strategy or timeframe.",
    ),
    exporter_gauge(
        name="trading_freqtrade_open_trades",
        help="Open trades.",
        why="Exposure that stays open after a halt.",
    ),
    exporter_gauge(
        name="trading_freqtrade_max_open_trades",
        help="Maximum of open trades; absent if unlimited.",
        why="At the limit the bot opens no trades, regardless of the strategy.",
    ),
    exporter_gauge(
        name="trading_freqtrade_exposure",
        labels=("currency",),
        help="Stake in open trades, in units of the stake currency.",
        why="The money currently at risk.",
    ),
    exporter_counter(
        name="trading_freqtrade_closed_trades_total",
        help="Closed trades in the bot's database.",
        why="No change for long: the bot is alive but does not trade.",
    ),
    exporter_gauge(
        name="trading_freqtrade_daily_profit",
        labels=("currency",),
        help="Profit of trades closed today (UTC), in units of the stake currency.",
        why="The daily loss: Freqtrade itself has no limit on it.",
    ),
    exporter_gauge(
        name="trading_freqtrade_current_drawdown_ratio",
        unit="ratio",
        help="Drawdown from the peak of closed profit, as a ratio of the account; 0: none.",
        why="Closed trades only: open losses are in the unrealized profit.",
    ),
    exporter_gauge(
        name="trading_freqtrade_max_drawdown_ratio",
        unit="ratio",
        help="Maximum drawdown of closed profit, as a ratio of the account.",
        why="The worst drawdown of the strategy so far.",
    ),
    exporter_gauge(
        name="trading_freqtrade_locks",
        labels=("scope",),
        help="Active locks that block entries: global for all pairs, others for one pair.",
        why="A protection or an operator blocks entries.",
    ),
    exporter_counter(
        name="trading_freqtrade_exchange_warnings_total",
        help="Warnings and errors about the exchange in the bot's log, since the exporter started.",
        why="The only sign of an exchange that rejects requests: health and state stay ok.",
    ),
    exporter_counter(
        name="trading_freqtrade_reloads_total",
        help="Starts of the bot in the same process, since the exporter started.",
        why="A reload of the configuration changes the start time and is not a restart.",
        vital=True,
    ),
    exporter_gauge(
        name="trading_freqtrade_candle_timestamp_seconds",
        unit="seconds",
        labels=("symbol",),
        help="Open time of the newest candle, Unix time; without one, when it was first missing.",
        why="Older than three timeframes: the bot trades on stale prices.",
    ),
    exporter_gauge(
        name="trading_freqtrade_timeframe_seconds",
        unit="seconds",
        help="Length of a candle.",
        why="The unit for the age of candles.",
    ),
    exporter_counter(
        name="trading_freqtrade_won_trades_total",
        help="Trades in the bot's database that were closed with a profit.",
        why="The win rate, together with all closed trades.",
    ),
    exporter_gauge(
        name="trading_freqtrade_last_trade_timestamp_seconds",
        unit="seconds",
        help="Open time of the newest trade, Unix time; absent before the first.",
        why="Long ago: the bot looks healthy but does not trade.",
    ),
    exporter_gauge(
        name="trading_freqtrade_starting_capital",
        labels=("currency",),
        help="Starting capital as computed by Freqtrade, in units of the stake currency.",
        why="The base for profit and loss ratios.",
    ),
    exporter_gauge(
        name="trading_freqtrade_analyzed_timestamp_seconds",
        unit="seconds",
        labels=("symbol",),
        help="Time at which the strategy last analyzed the pair's candles, Unix time.",
        why="Old while candles are fresh: the strategy fails and makes no decisions.",
    ),
    exporter_counter(
        name="trading_freqtrade_messages_total",
        labels=("kind",),
        values={"kind": MESSAGES},
        help="Messages of the bot's WebSocket by kind, since the exporter started.",
        why="The fastest source of exceptions, warnings and triggered protections.",
    ),
    Metric(
        name="trading_freqtrade_candle_delay_seconds",
        kind=MetricType.HISTOGRAM,
        owner=Owner.EXPORTER,
        unit="seconds",
        labels=("symbol",),
        buckets=DELAY_BUCKETS,
        help="Time from a candle's close to the message that the strategy analyzed it.",
        why="The bot's reaction time: a slow exchange or too many pairs increase it.",
    ),
)
