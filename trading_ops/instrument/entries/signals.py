"""Signals: what a model or a strategy says, how late, and what stood in for it."""

from trading_ops.instrument.entries.kinds import bot_counter, bot_gauge, bot_histogram
from trading_ops.instrument.metric import Metric

SIGNAL_OUTCOMES = ("ok", "timeout", "failed", "invalid", "skipped")

# From a moving average to a language model.
SIGNAL_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

SIGNALS: tuple[Metric, ...] = (
    bot_counter(
        name="trading_signals_total",
        labels=("source", "outcome"),
        values={"outcome": SIGNAL_OUTCOMES},
        help="Signals asked of a source, by how that ended; skipped while its breaker is open or "
        "it has seen too little.",
        why="A model that fails leaves the bot to its fallback.",
    ),
    bot_histogram(
        name="trading_signal_duration_seconds",
        labels=("source",),
        buckets=SIGNAL_BUCKETS,
        exemplar="trace_id",
        help="Time from asking a source for a signal to its answer or failure.",
        why="A slow model decides on old prices.",
    ),
    bot_gauge(
        name="trading_signal_timestamp_seconds",
        unit="seconds",
        labels=("source",),
        vital=True,
        help="Time of the last usable signal of a source, since the epoch; the start until then.",
        why="The age tells a model that went silent.",
    ),
    bot_counter(
        name="trading_signal_fallbacks_total",
        labels=("source",),
        help="Signals that the fallback gave in place of this source.",
        why="The bot trades on its simple strategy, which is not what it was tested for.",
    ),
    bot_gauge(
        name="trading_signal_fallback_active",
        vital=True,
        help="1 while the fallback decides, 0 while the source does; absent without a fallback.",
        why="Tells what decides now.",
    ),
)
