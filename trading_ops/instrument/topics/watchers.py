"""The metrics of the watchers inside a bot; those of one that is switched off are absent."""

from functools import partial

from trading_ops.instrument.metric import Kind, Metric, Owner

DELAY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PAUSE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
GENERATIONS = ("0", "1", "2")

_gauge = partial(Metric, kind=Kind.GAUGE, owner=Owner.WATCHERS)
_histogram = partial(Metric, kind=Kind.HISTOGRAM, owner=Owner.WATCHERS, unit="seconds")

_MEMORY = (
    _gauge(
        name="trading_memory_trend_bytes_per_second",
        unit="bytes_per_second",
        help="Slope of the process's own memory over up to three days; absent until there is one.",
        why="Bytes a second that stay above zero for days end in the kernel killing the bot.",
    ),
    _gauge(
        name="trading_memory_leak_suspected",
        help="1 when memory has grown steadily for too long to be a warm-up, a cycle or a step.",
        why="Somebody should look where it goes, while the process that leaks still runs.",
    ),
    _gauge(
        name="trading_memory_observed_seconds",
        unit="seconds",
        help="Length of what the memory's slope is computed over, without the warm-up.",
        why="Below two days only a growth by half counts, for a daily cycle looks like a leak.",
    ),
)

_LOOP = (
    _histogram(
        name="trading_event_loop_delay_seconds",
        buckets=DELAY_BUCKETS,
        help="Time for which the bot's event loop let a callback wait, by regular probes.",
        why="How often the loop is late, and by how much: the last value alone misses most of it.",
    ),
    _gauge(
        name="trading_event_loop_worst_delay_seconds",
        unit="seconds",
        help="Longest time that the event loop let a probe wait in the last one to two minutes.",
        why="A short block between two scrapes is seen too.",
    ),
)

_TASKS = (
    _gauge(
        name="trading_tasks",
        labels=("coroutine",),
        help="Tasks of the event loop that are not done, by the name of their coroutine.",
        why="Tasks that nobody awaits or ends pile up, and take memory and the loop's time.",
    ),
    _gauge(
        name="trading_tasks_growth",
        labels=("coroutine",),
        help="Growth of the least number of tasks in ten minutes within the last hour.",
        why="Names the coroutine that leaks; what comes and goes stays near zero.",
    ),
    _gauge(
        name="trading_task_leak_suspected",
        help="1 while the tasks of a coroutine have grown without a fall for an hour.",
        why="The growth by coroutine says which.",
    ),
    _gauge(
        name="trading_threads",
        help="Threads that Python knows of.",
        why="A slope is a leak of threads.",
    ),
)

_STUCK = (
    _gauge(
        name="trading_component_stuck",
        labels=("component",),
        help="1 while the component has work and made no progress within its limit.",
        why="It may be up, connected and waiting for something that never comes.",
    ),
    _gauge(
        name="trading_component_progress_age_seconds",
        unit="seconds",
        labels=("component",),
        help="Time since the component was last seen to make progress, or to have no work.",
        why="How long nothing has moved; told by a thread, so also while the loop is stuck.",
    ),
)

_GARBAGE = (
    _histogram(
        name="trading_gc_pause_seconds",
        labels=("generation",),
        values={"generation": GENERATIONS},
        buckets=PAUSE_BUCKETS,
        help="Time that a garbage collection took, by generation; everything else waits meanwhile.",
        why="Long pauses of the oldest generation delay orders, and grow with what is alive.",
    ),
    Metric(
        name="trading_gc_uncollectable_total",
        kind=Kind.COUNTER,
        owner=Owner.WATCHERS,
        help="Objects that the garbage collector found unreachable and could not free.",
        why="Each is a leak.",
    ),
)

WATCHER_METRICS: tuple[Metric, ...] = (*_MEMORY, *_LOOP, *_TASKS, *_STUCK, *_GARBAGE)
