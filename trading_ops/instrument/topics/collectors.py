"""State of the exporter's own collectors."""

from trading_ops.instrument.metric import Metric, exporter_counter, exporter_gauge

COLLECTORS: tuple[Metric, ...] = (
    exporter_gauge(
        name="trading_exporter_collector_up",
        labels=("collector",),
        help="1 if the collector's last run succeeded, else 0.",
        why="Explains missing metrics.",
    ),
    exporter_gauge(
        name="trading_exporter_collector_last_success_timestamp_seconds",
        unit="seconds",
        labels=("collector",),
        help="Time of the collector's last successful run, Unix time; 0: never.",
        why="Its metrics are as old as this.",
    ),
    exporter_counter(
        name="trading_exporter_collector_failures_total",
        labels=("collector",),
        help="Failed runs of the collector.",
        why="Shows intermittent failures before they become permanent.",
    ),
    exporter_gauge(
        name="trading_exporter_collector_duration_seconds",
        unit="seconds",
        labels=("collector",),
        help="Duration of the collector's last run, including failed ones.",
        why="Near its timeout the collector is about to fail: the source is slow.",
    ),
    exporter_gauge(
        name="trading_exporter_collector_dropped_series",
        labels=("collector",),
        help="Series of the collector's last run that exceeded the limit or could not be written.",
        why="Above zero, some series are missing.",
    ),
    exporter_counter(
        name="trading_exporter_freqtrade_requests_total",
        labels=("bot",),
        help="Requests from the exporter to a Freqtrade, including failed ones.",
        why="Together with the reconciler's requests, our load on the Freqtrade API.",
    ),
    exporter_counter(
        name="trading_exporter_refused_total",
        help="Requests with a wrong token, to the exporter.",
        why="Prometheus has an old token, or someone is guessing tokens.",
    ),
)
