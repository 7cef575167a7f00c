"""Market data: how old, how late, how much of it."""

from trading_ops.instrument.entries.kinds import bot_counter, bot_gauge, bot_histogram
from trading_ops.instrument.metric import Metric

# Twenty around the objective of 50 ms, from a venue in the same rack to a feed that is useless.
TICK_BUCKETS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.04, 0.05),
    *(0.06, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)

MARKET_DATA: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_market_data_timestamp_seconds",
        unit="seconds",
        labels=("symbol",),
        vital=True,
        help="Time at which the last ticker was received, since the epoch; the start until then.",
        why="A feed that is open but silent stops it, and the bot trades on old prices.",
    ),
    bot_histogram(
        name="trading_market_data_latency_seconds",
        labels=("symbol",),
        buckets=TICK_BUCKETS,
        help="Time from the venue's stamp on a ticker to its receipt.",
        why="Late prices are wrong prices.",
    ),
    bot_gauge(
        name="trading_market_data_price",
        labels=("symbol",),
        help="Price of the last ticker that carried one, in the symbol's quote currency.",
        why="A price that jumps or freezes while messages come is a broken feed.",
    ),
    bot_counter(
        name="trading_market_data_messages_total",
        labels=("symbol",),
        help="Tickers received.",
        why="The rate shows a feed that thins out before it falls silent.",
    ),
    bot_counter(
        name="trading_market_data_reconnects_total",
        help="Connections of the market data feed that were made after the first one.",
        why="A feed that reconnects all the time misses prices in between.",
    ),
)
