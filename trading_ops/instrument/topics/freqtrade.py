"""What only Freqtrade has; the rest of it goes under the names of our own bots.

Of one bot each, scraped with `?bot=`; `bot` and `venue` are target labels here as well.
"""

from trading_ops.instrument.metric import Kind, Metric, Owner, exporter_counter, exporter_gauge

MESSAGES = (
    *("status", "warning", "exception", "startup"),
    *("entry", "entry_fill", "entry_cancel", "exit", "exit_fill", "exit_cancel"),
    *("protection_trigger", "protection_trigger_global", "liquidation_warning"),
    *("strategy_msg", "new_candle", "other"),
)
"""Whole tables of candles and whitelists are not asked for: nothing is made of them."""

# Freqtrade begins its loop about a second after a candle's close, and then asks the exchange.
DELAY_BUCKETS = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0)

FREQTRADE: tuple[Metric, ...] = (
    exporter_gauge(
        name="trading_freqtrade_info",
        labels=("strategy_class", "exchange", "timeframe"),
        help="Always 1; the labels tell what the Freqtrade runs.",
        why="A strategy or timeframe that nobody meant to trade with.",
    ),
    exporter_gauge(
        name="trading_freqtrade_open_trades",
        help="Open trades.",
        why="Exposure: what a halt leaves open.",
    ),
    exporter_gauge(
        name="trading_freqtrade_max_open_trades",
        help="Limit of open trades; absent when there is none.",
        why="At the limit the bot enters nothing, whatever its strategy says.",
    ),
    exporter_gauge(
        name="trading_freqtrade_exposure",
        labels=("currency",),
        help="Stake in open trades, in units of the stake currency.",
        why="The money at risk now.",
    ),
    exporter_counter(
        name="trading_freqtrade_closed_trades_total",
        help="Trades that were closed since the bot's database began.",
        why="Stands still for long: the bot is alive and does not trade.",
    ),
    exporter_gauge(
        name="trading_freqtrade_daily_profit",
        labels=("currency",),
        help="Profit of the trades that were closed today, UTC, in units of the stake currency.",
        why="The day's loss: Freqtrade itself has no limit on it.",
    ),
    exporter_gauge(
        name="trading_freqtrade_current_drawdown_ratio",
        unit="ratio",
        help="Fall from the highest point of closed profit, as a share of the account; 0 for none.",
        why="Closed trades only: open losses are in the unrealised profit.",
    ),
    exporter_gauge(
        name="trading_freqtrade_max_drawdown_ratio",
        unit="ratio",
        help="Largest fall from a highest point of closed profit, as a share of the account.",
        why="What the strategy has done to the account at its worst.",
    ),
    exporter_gauge(
        name="trading_freqtrade_locks",
        labels=("scope",),
        help="Locks that keep entries out now: global ones for all pairs, the others for one.",
        why="A protection or a person holds the bot back.",
    ),
    exporter_counter(
        name="trading_freqtrade_exchange_warnings_total",
        help="Warnings and errors about the exchange in the bot's log, since the exporter began.",
        why="The only sign of an exchange that refuses requests: health and state stay good.",
    ),
    exporter_gauge(
        name="trading_freqtrade_candle_timestamp_seconds",
        unit="seconds",
        labels=("symbol",),
        help="Opening of the newest candle, since the epoch; when it was missed if there is none.",
        why="Older than three timeframes: the bot decides on old prices.",
    ),
    exporter_gauge(
        name="trading_freqtrade_timeframe_seconds",
        unit="seconds",
        help="Length of a candle.",
        why="The measure for a candle's age.",
    ),
    exporter_counter(
        name="trading_freqtrade_won_trades_total",
        help="Trades that were closed with a profit, since the bot's database began.",
        why="Beside all closed ones: a strategy that has stopped to work loses before it is seen.",
    ),
    exporter_gauge(
        name="trading_freqtrade_last_trade_timestamp_seconds",
        unit="seconds",
        help="Time at which the newest trade was opened, since the epoch; absent before the first.",
        why="Long ago: the bot is alive, looks well, and does not trade.",
    ),
    exporter_gauge(
        name="trading_freqtrade_starting_capital",
        labels=("currency",),
        help="What the bot began with, as Freqtrade reckons it, in units of the stake currency.",
        why="The base for what was won or lost as a share.",
    ),
    exporter_gauge(
        name="trading_freqtrade_analyzed_timestamp_seconds",
        unit="seconds",
        labels=("symbol",),
        help="Time at which the strategy last looked at the pair's candles, since the epoch.",
        why="Old while candles are fresh: the strategy fails, and nothing is decided any more.",
    ),
    exporter_counter(
        name="trading_freqtrade_messages_total",
        labels=("kind",),
        values={"kind": MESSAGES},
        help="Messages of the bot's WebSocket by kind, heard since the exporter began.",
        why="Exceptions, warnings, protections that triggered: told nowhere else so soon.",
    ),
    Metric(
        name="trading_freqtrade_candle_delay_seconds",
        kind=Kind.HISTOGRAM,
        owner=Owner.EXPORTER,
        unit="seconds",
        labels=("symbol",),
        buckets=DELAY_BUCKETS,
        help="Time from the close of a candle to the message that the strategy has analysed it.",
        why="The bot's reaction to the market: a slow exchange or too many pairs draw it out.",
    ),
)
