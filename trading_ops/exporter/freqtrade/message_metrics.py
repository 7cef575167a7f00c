"""Metrics from a Freqtrade's messages; in memory only, so a flood of messages costs little.

Counters start at zero with the exporter, and miss messages that were sent without a connection.
Source of the messages: https://www.freqtrade.io/en/stable/rest-api/#message-websocket.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import accumulate
from typing import Any

import msgspec
from prometheus_client.metrics_core import HistogramMetricFamily, Metric

from trading_ops.instrument.catalogue import get
from trading_ops.instrument.families import family

MESSAGES = "trading_freqtrade_messages_total"
DELAY = "trading_freqtrade_candle_delay_seconds"
ORDERS = "trading_orders_total"
NAMES = (ORDERS, MESSAGES, DELAY)
"""Every metric that needs the WebSocket."""

OTHER = "other"
KINDS = get(MESSAGES).values["kind"]
"""Message types that are counted by name; all others are `other`."""

OUTCOMES = {
    "entry_fill": "filled",
    "exit_fill": "filled",
    "entry_cancel": "cancelled",
    "exit_cancel": "cancelled",
}


class _Message(msgspec.Struct, frozen=True):
    """Any message: its type, and the pair of a candle."""

    type: str
    data: Any = None


class _Delays:
    """A histogram of one pair."""

    def __init__(self) -> None:
        self._bounds = get(DELAY).buckets
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def put_into(self, built: HistogramMetricFamily, pair: str) -> None:
        bounds = (*map(str, self._bounds), "+Inf")
        built.add_metric(
            [pair], list(zip(bounds, accumulate(self._counts), strict=True)), self._sum
        )


class MessageMetrics:
    """Counts messages and orders, and measures how late candles are analyzed."""

    def __init__(self) -> None:
        self._messages: Counter[str] = Counter()
        self._delays: dict[str, _Delays] = {}
        self._periods: dict[str, float] = {}
        """Timeframe, counted since the epoch, in which each pair's last candle was analyzed."""

    def add(self, text: str, now: float, *, timeframe: float, pairs: Collection[str]) -> str:
        """Count one message; return its type.

        Args:
            text: of the message.
            now: seconds since the epoch.
            timeframe: seconds; 0 while unknown.
            pairs: to export; others get no series.
        """
        try:
            message = msgspec.json.decode(text, type=_Message)
        except (msgspec.MsgspecError, RecursionError):
            message = _Message(OTHER)
        kind = message.type if message.type in KINDS else OTHER
        self._messages[kind] += 1
        if kind == "new_candle" and timeframe > 0:
            self._candle(message.data, now, timeframe, pairs)
        return kind

    def _candle(self, data: Any, now: float, timeframe: float, pairs: Collection[str]) -> None:
        """Measure from the candle's close, which is the start of the current timeframe.

        The first message after a start or reload comes at any time within a timeframe, so only
        messages that follow one of the previous timeframe are measured.
        """
        pair = data[0] if isinstance(data, list) and data else None
        if not isinstance(pair, str) or pair not in pairs:
            return
        period = now // timeframe
        if self._periods.get(pair) == period - 1:
            self._delays.setdefault(pair, _Delays()).add(now - period * timeframe)
        self._periods[pair] = period
        for gone in self._periods.keys() - set(pairs):
            del self._periods[gone]
            self._delays.pop(gone, None)

    def families(self) -> Iterator[Metric]:
        """Yield the metrics."""
        outcomes = Counter(dict.fromkeys(OUTCOMES.values(), 0))
        for kind, outcome in OUTCOMES.items():
            outcomes[outcome] += self._messages[kind]
        yield family(ORDERS, {(outcome,): count for outcome, count in outcomes.items()})
        yield family(MESSAGES, {(kind,): self._messages[kind] for kind in KINDS})
        built = HistogramMetricFamily(DELAY, get(DELAY).help, labels=get(DELAY).labels)
        for pair, delays in self._delays.items():
            delays.put_into(built, pair)
        yield built
