"""Internals of a bot's process: event loop, queues, memory."""

from grafana.boards.panels import above, below, events, lines, row, steps
from grafana.boards.words import forecast, gain, most, quantiles, rate

LOOP = row(
    "Event loop and queues",
    (
        lines(
            "Event loop lag",
            "s",
            {
                **most("trading_event_loop_lag_seconds", "bot", called="now"),
                **most("trading_event_loop_worst_delay_seconds", "bot", called="worst"),
            },
            "Delay of callbacks, and the maximum of the last one to two minutes. It delays every "
            "order and cancel.",
            limits=above(0.05, 0.2),
            runbook="TradingBotEventLoopLagging",
        ),
        lines(
            "Garbage collection pauses",
            "percentunit",
            rate("trading_gc_pause_seconds_sum", "bot", "generation"),
            "Ratio of time paused for garbage collection, by generation.",
            limits=above(0.02, 0.05),
            runbook="TradingBotEventLoopLagging",
        ),
        lines(
            "Queue depth",
            "short",
            most("trading_queue_depth", "bot", "queue"),
            "Items in each queue. TradingBotQueueBacklog fires after a minute at 100.",
            limits=above(50, 100),
            runbook="TradingBotQueueBacklog",
        ),
        lines(
            "Queue wait time",
            "s",
            quantiles("trading_queue_wait_seconds", "queue"),
            "Time that items waited in the queue.",
            limits=above(0.1, 1),
            runbook="TradingBotQueueBacklog",
        ),
    ),
    (
        steps(
            "Tasks",
            "short",
            most("trading_tasks", "bot", "coroutine"),
            "Pending tasks of the event loop, by coroutine name.",
            limits=above(100, 1000),
        ),
        steps(
            "Threads",
            "short",
            most("trading_threads", "bot"),
            "Python threads.",
            limits=above(50, 200),
        ),
        lines(
            "Components without progress",
            "s",
            most("trading_component_progress_age_seconds", "bot", "component"),
            "Time since each component last made progress, or had no work.",
            limits=above(10, 30),
            runbook="TradingBotHeartbeatStopped",
        ),
        events(
            "Items dropped",
            "short",
            gain("trading_queue_dropped_total", "bot", "queue"),
            "Items dropped from queues.",
            limits=above(1),
            runbook="TradingBotQueueBacklog",
        ),
    ),
)

MEMORY = row(
    "Memory use",
    (
        lines(
            "Memory (USS)",
            "bytes",
            {
                **most("trading_memory_uss_bytes", "bot"),
                **most("bot:trading_memory_uss_bytes:limit", "bot", called="limit"),
            },
            "Unique set size of the process, and its limit.",
            runbook="TradingBotMemoryHigh",
        ),
        lines(
            "Memory forecast, 24 h",
            "bytes",
            {
                **forecast("trading_memory_uss_bytes", "bot"),
                **most("bot:trading_memory_uss_bytes:limit", "bot", called="limit"),
            },
            "Linear forecast from the last 6 h. Too steep in the first minutes of a process.",
            runbook="TradingBotMemoryLimitForecast",
        ),
        lines(
            "Leak detection window",
            "s",
            most("trading_memory_observed_seconds", "bot"),
            "Time that memory has been observed, without the warm-up; leak detection needs hours.",
            limits=below(3600, 21600),
            runbook="TradingBotMemoryLeakSuspected",
        ),
    ),
)

INSIDE = (LOOP, MEMORY)
