"""How the exporter's own collectors fare."""

from trading_ops.instrument.metric import Metric, exporter_counter, exporter_gauge

COLLECTORS: tuple[Metric, ...] = (
    exporter_gauge(
        name="trading_exporter_collector_up",
        labels=("collector",),
        help="1 when the collector's last run succeeded, else 0.",
        why="Absent figures are explained.",
    ),
    exporter_gauge(
        name="trading_exporter_collector_last_success_timestamp_seconds",
        unit="seconds",
        labels=("collector",),
        help="Time of the collector's last successful run, since the epoch; 0 for never.",
        why="Figures older than this are history.",
    ),
    exporter_counter(
        name="trading_exporter_collector_failures_total",
        labels=("collector",),
        help="Runs of the collector that failed.",
        why="A collector that fails now and then is seen before it fails for good.",
    ),
    exporter_gauge(
        name="trading_exporter_collector_duration_seconds",
        unit="seconds",
        labels=("collector",),
        help="Time that the collector's last run took, up to its failure or timeout.",
        why="Near its timeout the collector fails next; what it reads is slow.",
    ),
    exporter_gauge(
        name="trading_exporter_collector_dropped_series",
        labels=("collector",),
        help="Series of the collector's last figures that were too many or could not be written.",
        why="Above zero what is shown is not everything.",
    ),
    exporter_counter(
        name="trading_exporter_freqtrade_requests_total",
        labels=("bot",),
        help="Requests that the exporter made to a Freqtrade, answered or not.",
        why="With the reconciler's, all that is asked of it: what it cannot answer queues in it.",
    ),
)
