"""Signals of models and strategies: outcomes, latency and fallbacks."""

import time
from typing import TYPE_CHECKING

from trading_ops.instrument.metric import Metric, bot_counter, bot_gauge, bot_histogram
from trading_ops.instrument.recording import observe

if TYPE_CHECKING:
    from trading_ops.instrument.recorder import Recorder

SIGNAL_OUTCOMES = ("ok", "timeout", "failed", "invalid", "skipped")

# From a moving average to a language model.
SIGNAL_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

SIGNALS: tuple[Metric, ...] = (
    bot_counter(
        name="trading_signals_total",
        labels=("source", "outcome"),
        values={"outcome": SIGNAL_OUTCOMES},
        help="Signal requests to a source by outcome; skipped: its breaker is open or it has too "
        "little data.",
        why="If the model fails, the bot uses its fallback.",
    ),
    bot_histogram(
        name="trading_signal_duration_seconds",
        labels=("source",),
        buckets=SIGNAL_BUCKETS,
        exemplar="trace_id",
        help="Duration of a signal request to a source, including failures.",
        why="A slow model decides on stale prices.",
    ),
    bot_gauge(
        name="trading_signal_timestamp_seconds",
        unit="seconds",
        labels=("source",),
        vital=True,
        help="Time of a source's last valid signal, Unix time; the process start before the first.",
        why="Its age shows a silent model.",
    ),
    bot_counter(
        name="trading_signal_fallbacks_total",
        labels=("source",),
        help="Signals that the fallback provided instead of this source.",
        why="The bot trades on its fallback strategy.",
    ),
    bot_gauge(
        name="trading_signal_fallback_active",
        vital=True,
        help="1 while the fallback is active, else 0; absent without a fallback.",
        why="Shows which source is in use.",
    ),
)


SOURCES = 8
"""Sources that need not be declared: their names are in the bot's code."""


class SignalMetrics:
    """Records a bot's signals."""

    started_at: float
    """Seconds since the epoch."""

    def signal(
        self,
        source: str,
        *,
        outcome: str = "ok",
        seconds: float | None = None,
        at: float | None = None,
        trace_id: str = "",
    ) -> None:
        """Record a signal request to a source.

        Args:
            source: name of the model or strategy.
            outcome: ok, timeout, failed, invalid, or skipped if no request was made.
            seconds: duration of the request; None if it was skipped.
            at: time of the signal if it is ok, in seconds since the epoch; by default now.
            trace_id: becomes the exemplar of its bucket.
        """
        self._signals.labels(source, outcome).value += 1
        if seconds is not None:
            observe(self._signal_duration.labels(source), seconds, trace_id)
        if outcome == "ok":
            self._signal_time.labels(source).value = time.time() if at is None else at

    def signal_fallback(self, source: str) -> None:
        """Count a signal that the fallback provided instead of this source."""
        self._fallbacks.labels(source).value += 1

    def fallback_active(self, *, active: bool) -> None:
        """Set whether the fallback is in use; absent until set."""
        self._fallback_active.labels().value = 1 if active else 0

    def _register_signals(self, recorder: "Recorder", sources: tuple[str, ...]) -> None:
        known = {"source": sources}
        self._signals = recorder.counter("trading_signals_total", known, limit=SOURCES)
        self._signal_duration = recorder.histogram(
            "trading_signal_duration_seconds", known, limit=SOURCES
        )
        self._signal_time = recorder.gauge(
            "trading_signal_timestamp_seconds", known, limit=SOURCES, at_once=False
        )
        for source in sources:
            # Starts at the process start, so that a source that never delivers is detected.
            self._signal_time.labels(source).value = self.started_at
        self._fallbacks = recorder.counter("trading_signal_fallbacks_total", known, limit=SOURCES)
        self._fallback_active = recorder.gauge("trading_signal_fallback_active", at_once=False)
