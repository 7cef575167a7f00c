"""Metrics of the watchers inside a bot; absent if the watcher is off."""

from functools import partial

from trading_ops.instrument.metric import Metric, MetricType, Owner

DELAY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PAUSE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
GENERATIONS = ("0", "1", "2")

_gauge = partial(Metric, kind=MetricType.GAUGE, owner=Owner.WATCHERS)
_histogram = partial(Metric, kind=MetricType.HISTOGRAM, owner=Owner.WATCHERS, unit="seconds")

_MEMORY = (
    _gauge(
        name="trading_memory_trend_bytes_per_second",
        unit="bytes_per_second",
        help="Slope of the process's USS over up to three days; absent until there is enough data.",
        why="A positive slope for days ends in an OOM kill.",
    ),
    _gauge(
        name="trading_memory_leak_suspected",
        help="1 if memory has grown steadily for too long to be a warm-up, a cycle or a step.",
        why="Investigate while the leaking process still runs.",
    ),
    _gauge(
        name="trading_memory_observed_seconds",
        unit="seconds",
        help="Length of the window of the memory slope, without the warm-up.",
        why="Below two days only a growth of 50 % counts, since a daily cycle looks like a leak.",
    ),
)

_LOOP = (
    _histogram(
        name="trading_event_loop_delay_seconds",
        buckets=DELAY_BUCKETS,
        help="Delay of callbacks in the bot's event loop, measured by regular probes.",
        why="The distribution of delays; the last value alone misses most of them.",
    ),
    _gauge(
        name="trading_event_loop_worst_delay_seconds",
        unit="seconds",
        help="Maximum event loop delay in the last one to two minutes.",
        why="Also shows short blocks between two scrapes.",
    ),
)

_TASKS = (
    _gauge(
        name="trading_tasks",
        labels=("coroutine",),
        help="Pending tasks of the event loop, by coroutine name.",
        why="Leaked tasks accumulate and use memory and CPU.",
    ),
    _gauge(
        name="trading_tasks_growth",
        labels=("coroutine",),
        help="Growth, within the last hour, of the 10-minute minimum of tasks.",
        why="Identifies the leaking coroutine; short-lived tasks stay near zero.",
    ),
    _gauge(
        name="trading_task_leak_suspected",
        help="1 while the tasks of a coroutine have only grown for an hour.",
        why="The growth by coroutine shows which one.",
    ),
    _gauge(
        name="trading_threads",
        help="Python threads.",
        why="A slope is a leak of threads.",
    ),
)

_STUCK = (
    _gauge(
        name="trading_component_stuck",
        labels=("component",),
        help="1 while the component has work but made no progress within its limit.",
        why="It may be up and connected, but waits for something that never happens.",
    ),
    _gauge(
        name="trading_component_progress_age_seconds",
        unit="seconds",
        labels=("component",),
        help="Time since the component last made progress or had no work.",
        why="Duration of the stall; measured in a thread, so also while the loop is blocked.",
    ),
)

_GARBAGE = (
    _histogram(
        name="trading_gc_pause_seconds",
        labels=("generation",),
        values={"generation": GENERATIONS},
        buckets=PAUSE_BUCKETS,
        help="Pause of a garbage collection, by generation.",
        why="Long pauses of the oldest generation delay orders, and grow with the live objects.",
    ),
    Metric(
        name="trading_gc_uncollectable_total",
        kind=MetricType.COUNTER,
        owner=Owner.WATCHERS,
        help="Objects that the garbage collector could not free.",
        why="Each is a leak.",
    ),
)

WATCHER_METRICS: tuple[Metric, ...] = (*_MEMORY, *_LOOP, *_TASKS, *_STUCK, *_GARBAGE)
