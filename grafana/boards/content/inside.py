"""The inside of a bot's process: its event loop, its queues, its memory."""

from grafana.boards.panels import above, below, events, lines, row, steps
from grafana.boards.words import forecast, gain, most, quantiles, rate

LOOP = row(
    "Event loop and queues",
    (
        lines(
            "Lag of the event loop",
            "s",
            {
                **most("trading_event_loop_lag_seconds", "bot", called="now"),
                **most("trading_event_loop_worst_delay_seconds", "bot", called="worst"),
            },
            "How long a callback waited, and the worst of the last one to two minutes. Each order "
            "and each cancel is that late.",
            limits=above(0.05, 0.2),
            runbook="TradingBotEventLoopLagging",
        ),
        lines(
            "Garbage collection pauses",
            "percentunit",
            rate("trading_gc_pause_seconds_sum", "bot", "generation"),
            "Share of the time that the process was paused for a collection, by generation.",
            limits=above(0.02, 0.05),
            runbook="TradingBotEventLoopLagging",
        ),
        lines(
            "Queue depth",
            "short",
            most("trading_queue_depth", "bot", "queue"),
            "Items in each queue. A hundred for a minute raise TradingBotQueueBacklog.",
            limits=above(50, 100),
            runbook="TradingBotQueueBacklog",
        ),
        lines(
            "Time in a queue",
            "s",
            quantiles("trading_queue_wait_seconds", "queue"),
            "How long an item waited before it was taken.",
            limits=above(0.1, 1),
            runbook="TradingBotQueueBacklog",
        ),
    ),
    (
        steps(
            "Tasks",
            "short",
            most("trading_tasks", "bot", "coroutine"),
            "Tasks of the event loop that are not done, by the name of their coroutine.",
            limits=above(100, 1000),
        ),
        steps(
            "Threads",
            "short",
            most("trading_threads", "bot"),
            "Threads that Python knows of.",
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
            "Items that a full queue dropped.",
            limits=above(1),
            runbook="TradingBotQueueBacklog",
        ),
    ),
)

MEMORY = row(
    "Memory use",
    (
        lines(
            "Own memory",
            "bytes",
            {
                **most("trading_memory_uss_bytes", "bot"),
                **most("bot:trading_memory_uss_bytes:limit", "bot", called="limit"),
            },
            "Memory that is the process's alone, and what it may take.",
            runbook="TradingBotMemoryHigh",
        ),
        lines(
            "Own memory in a day",
            "bytes",
            {
                **forecast("trading_memory_uss_bytes", "bot"),
                **most("bot:trading_memory_uss_bytes:limit", "bot", called="limit"),
            },
            "A straight line through the last six hours, a day on. The first minutes of a process "
            "make it steep.",
            runbook="TradingBotMemoryLimitForecast",
        ),
        lines(
            "Watched for a leak",
            "s",
            most("trading_memory_observed_seconds", "bot"),
            "How long the memory has been watched, without the warm-up; a leak is suspected only "
            "after hours.",
            limits=below(3600, 21600),
            runbook="TradingBotMemoryLeakSuspected",
        ),
    ),
)

INSIDE = (LOOP, MEMORY)
