"""Short forms for entries: an entry says what it is in one word."""

from functools import partial

from trading_ops.instrument.metric import Kind, Metric, Owner

# Bounds lie around what a loopback venue, a near and a far exchange need, up to our own timeouts.
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

bot_gauge = partial(Metric, kind=Kind.GAUGE, owner=Owner.BOT)
bot_counter = partial(Metric, kind=Kind.COUNTER, owner=Owner.BOT)
bot_histogram = partial(
    Metric, kind=Kind.HISTOGRAM, owner=Owner.BOT, unit="seconds", buckets=LATENCY_BUCKETS
)

exporter_gauge = partial(Metric, kind=Kind.GAUGE, owner=Owner.EXPORTER)
exporter_counter = partial(Metric, kind=Kind.COUNTER, owner=Owner.EXPORTER)
