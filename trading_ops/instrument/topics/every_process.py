"""The metrics that prometheus_client's process collector adds to each of our processes."""

from functools import partial

from trading_ops.instrument.metric import Metric, MetricType, Owner

_gauge = partial(Metric, kind=MetricType.GAUGE, owner=Owner.PROCESS)

PROCESS_METRICS: tuple[Metric, ...] = (
    _gauge(
        name="process_virtual_memory_bytes",
        unit="bytes",
        help="Virtual memory size in bytes.",
        why="Address space only; rarely useful.",
    ),
    _gauge(
        name="process_resident_memory_bytes",
        unit="bytes",
        help="Resident memory size in bytes.",
        why="The process's share of the host's memory, including shared pages.",
    ),
    _gauge(
        name="process_start_time_seconds",
        unit="seconds",
        help="Start time of the process since unix epoch in seconds.",
        why="Detects restarts, from the kernel.",
    ),
    Metric(
        name="process_cpu_seconds_total",
        kind=MetricType.COUNTER,
        owner=Owner.PROCESS,
        unit="seconds",
        help="Total user and system CPU time spent in seconds.",
        why="Shows a busy loop.",
    ),
    _gauge(
        name="process_open_fds",
        help="Number of open file descriptors.",
        why="A slope is a leak of connections or files.",
    ),
    _gauge(
        name="process_max_fds",
        help="Maximum number of open file descriptors.",
        why="The limit for the leak.",
    ),
)


NODE_METRICS = (
    Metric(
        name="trading_ops_node_refused_total",
        kind=MetricType.COUNTER,
        owner=Owner.NODE,
        help="Requests that the node or the supervisor refused because of their token.",
        why="A client with an old token, or someone guessing tokens.",
    ),
    Metric(
        name="trading_ops_node_unit_unhealthy",
        kind=MetricType.GAUGE,
        owner=Owner.NODE,
        labels=("target",),
        help="1 while the service manager's own health check of a running unit fails, else 0.",
        why="A container that Docker calls unhealthy. Absent for a unit that is down or unknown.",
    ),
)
