"""The metrics of the exporter: what a bot cannot know of its host and its venue."""

from functools import partial

from trading_ops.instrument.metric import Kind, Metric, Owner

_gauge = partial(Metric, kind=Kind.GAUGE, owner=Owner.EXPORTER)
_counter = partial(Metric, kind=Kind.COUNTER, owner=Owner.EXPORTER)

EXPORTER_METRICS: tuple[Metric, ...] = (
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
