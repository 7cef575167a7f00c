"""Venues, as a client on this host that shares nothing with the bot sees them."""

from trading_ops.instrument.entries.kinds import exporter_gauge
from trading_ops.instrument.metric import Metric

VENUE_PROBES: tuple[Metric, ...] = (
    exporter_gauge(
        name="trading_venue_up",
        labels=("venue",),
        help="1 when the venue answered the last probe from this host, else 0.",
        why="Tells a venue's outage from a bot's broken session: the cures differ.",
    ),
    exporter_gauge(
        name="trading_venue_probe_duration_seconds",
        unit="seconds",
        labels=("venue",),
        help="Time that the last probe of the venue took.",
        why="Slow for the probe as well: it is the venue or the network, not the bot.",
    ),
    exporter_gauge(
        name="trading_venue_last_success_timestamp_seconds",
        unit="seconds",
        labels=("venue",),
        help="Time of the last successful probe of the venue, since the epoch; 0 for never.",
        why="The age is the length of the outage.",
    ),
    exporter_gauge(
        name="trading_venue_clock_skew_seconds",
        unit="seconds",
        labels=("venue",),
        help="The venue's clock minus this host's, less half the probe's duration.",
        why="A wrong clock breaks nonces, signatures and latency figures.",
    ),
)
