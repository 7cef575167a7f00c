"""The bot's process: what runs, since when, and whether its loop gets on."""

from trading_ops.instrument.entries.kinds import bot_counter, bot_gauge
from trading_ops.instrument.metric import Metric

ENDS = ("clean", "crashed", "unknown")

PROCESS_OF_A_BOT: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_bot_info",
        labels=("version", "mode"),
        help="1; tells the build, and the mode: paper or live. A mode that was left stays as 0.",
        why="A deployment that did not arrive, or a live bot where a paper one was meant.",
    ),
    bot_gauge(
        name="trading_bot_start_timestamp_seconds",
        unit="seconds",
        vital=True,
        help="Time at which this process of the bot started, since the epoch.",
        why="Changes at every restart: crash loops show, and a restart is proven.",
    ),
    bot_gauge(
        name="trading_bot_heartbeat_timestamp_seconds",
        unit="seconds",
        vital=True,
        help="Time of the last whole trading pass, since the epoch; the start until the first one.",
        why="Work done: a process that is alive but does not trade stops it.",
    ),
    bot_gauge(
        name="trading_bot_last_exit",
        labels=("how",),
        values={"how": ENDS},
        help="1 for how the life before this one ended, as the bot's records tell; absent where "
        "none are kept.",
        why="A crash that a service manager mended at once leaves no other trace.",
    ),
    bot_counter(
        name="trading_bot_unclean_starts_total",
        help="Starts after a life that did not end in order, counted in the bot's records.",
        why="A crash loop is one number that grows, over all restarts.",
    ),
    bot_gauge(
        name="trading_event_loop_lag_seconds",
        unit="seconds",
        vital=True,
        help="Time for which the bot's event loop last let a callback wait; grows while stuck.",
        why="A blocked loop delays every order and cancel.",
    ),
    bot_gauge(
        name="trading_memory_uss_bytes",
        unit="bytes",
        help="Memory that belongs to this process alone, read at most once a minute.",
        why="A slope over days is a leak; it ends in the kernel killing the bot.",
    ),
    bot_counter(
        name="trading_agent_refused_total",
        help="Requests that the agent refused because of their token.",
        why="A client with an old token, or someone who tries tokens.",
    ),
    bot_gauge(
        name="trading_load_throttle_factor",
        help="By how much the pauses between passes and probes are stretched; 1: not at all; "
        "absent where that cannot be done.",
        why="A bot that trades slowly because it was told to looks like one that is slow.",
    ),
    bot_counter(
        name="trading_undeclared_label_values_total",
        labels=("metric",),
        help="Label values that were not declared and went to the series `other`, by metric.",
        why="Somebody forgot to declare a symbol or an endpoint, or the venue invents new ones.",
    ),
)
