"""The metrics of the exporter: what a bot cannot know of host and venue, and Freqtrade's own.

Most of what is read from a Freqtrade goes under the names of `bot_catalogue`.
"""

from functools import partial

from trading_ops.instrument.metric import Kind, Metric, Owner

_gauge = partial(Metric, kind=Kind.GAUGE, owner=Owner.EXPORTER)
_counter = partial(Metric, kind=Kind.COUNTER, owner=Owner.EXPORTER)

_HOST_AND_VENUES = (
    _gauge(
        name="trading_venue_up",
        labels=("venue",),
        help="1 when the venue answered the last probe from this host, else 0.",
        why="Tells a venue's outage from a bot's broken session: the cures differ.",
    ),
    _gauge(
        name="trading_venue_probe_duration_seconds",
        unit="seconds",
        labels=("venue",),
        help="Time that the last probe of the venue took.",
        why="Slow for the probe as well: it is the venue or the network, not the bot.",
    ),
    _gauge(
        name="trading_venue_last_success_timestamp_seconds",
        unit="seconds",
        labels=("venue",),
        help="Time of the last successful probe of the venue, since the epoch; 0 for never.",
        why="The age is the length of the outage.",
    ),
    _gauge(
        name="trading_venue_clock_skew_seconds",
        unit="seconds",
        labels=("venue",),
        help="The venue's clock minus this host's, less half the probe's duration.",
        why="A wrong clock breaks nonces, signatures and latency figures.",
    ),
    _gauge(
        name="trading_host_memory_available_bytes",
        unit="bytes",
        help="Memory that can be had without swapping.",
        why="Near zero the kernel kills a process, often the bot.",
    ),
    _gauge(
        name="trading_host_disk_free_bytes",
        unit="bytes",
        labels=("path",),
        help="Bytes that an unprivileged process can still write to the file system of the path.",
        why="A full disk stops databases and logs.",
    ),
    _gauge(
        name="trading_host_disk_size_bytes",
        unit="bytes",
        labels=("path",),
        help="Size of the file system of the path.",
        why="The base for the share that is free.",
    ),
    _counter(
        name="trading_host_cpu_seconds_total",
        unit="seconds",
        labels=("mode",),
        help="Time that all processors of the host spent in each mode.",
        why="A starved host makes everything late.",
    ),
    _gauge(
        name="trading_host_load1",
        help="Load average of the host over one minute.",
        why="More than the processors: work is waiting.",
    ),
    _gauge(
        name="trading_exporter_collector_up",
        labels=("collector",),
        help="1 when the collector's last run succeeded, else 0.",
        why="Absent figures are explained.",
    ),
    _gauge(
        name="trading_exporter_collector_last_success_timestamp_seconds",
        unit="seconds",
        labels=("collector",),
        help="Time of the collector's last successful run, since the epoch; 0 for never.",
        why="Figures older than this are history.",
    ),
    _counter(
        name="trading_exporter_collector_failures_total",
        labels=("collector",),
        help="Runs of the collector that failed.",
        why="A collector that fails now and then is seen before it fails for good.",
    ),
)

_FREQTRADE = (
    _gauge(
        name="trading_freqtrade_info",
        labels=("strategy_class", "exchange", "timeframe"),
        help="Always 1; the labels tell what the Freqtrade runs.",
        why="A strategy or timeframe that nobody meant to trade with.",
    ),
    _gauge(
        name="trading_freqtrade_open_trades",
        help="Open trades.",
        why="Exposure: what a halt leaves open.",
    ),
    _gauge(
        name="trading_freqtrade_max_open_trades",
        help="Limit of open trades; absent when there is none.",
        why="At the limit the bot enters nothing, whatever its strategy says.",
    ),
    _gauge(
        name="trading_freqtrade_exposure",
        labels=("currency",),
        help="Stake in open trades, in units of the stake currency.",
        why="The money at risk now.",
    ),
    _counter(
        name="trading_freqtrade_closed_trades_total",
        help="Trades that were closed since the bot's database began.",
        why="Stands still for long: the bot is alive and does not trade.",
    ),
    _gauge(
        name="trading_freqtrade_daily_profit",
        labels=("currency",),
        help="Profit of the trades that were closed today, UTC, in units of the stake currency.",
        why="The day's loss: Freqtrade itself has no limit on it.",
    ),
    _gauge(
        name="trading_freqtrade_current_drawdown_ratio",
        unit="ratio",
        help="Fall from the highest point of closed profit, as a share of the account; 0 for none.",
        why="Closed trades only: open losses are in the unrealised profit.",
    ),
    _gauge(
        name="trading_freqtrade_max_drawdown_ratio",
        unit="ratio",
        help="Largest fall from a highest point of closed profit, as a share of the account.",
        why="What the strategy has done to the account at its worst.",
    ),
    _gauge(
        name="trading_freqtrade_locks",
        labels=("scope",),
        help="Locks that keep entries out now: global ones for all pairs, the others for one.",
        why="A protection or a person holds the bot back.",
    ),
    _counter(
        name="trading_freqtrade_exchange_warnings_total",
        help="Warnings and errors about the exchange in the bot's log, since the exporter began.",
        why="The only sign of an exchange that refuses requests: health and state stay good.",
    ),
    _gauge(
        name="trading_freqtrade_candle_timestamp_seconds",
        unit="seconds",
        labels=("symbol",),
        help="Opening of the newest candle, since the epoch; when it was missed if there is none.",
        why="Older than three timeframes: the bot decides on old prices.",
    ),
    _gauge(
        name="trading_freqtrade_timeframe_seconds",
        unit="seconds",
        help="Length of a candle.",
        why="The measure for a candle's age.",
    ),
)
"""Of one bot each, scraped with `?bot=`; `bot` and `venue` are target labels here as well."""

EXPORTER_METRICS: tuple[Metric, ...] = (*_HOST_AND_VENUES, *_FREQTRADE)
