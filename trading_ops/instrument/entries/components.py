"""The supervised parts of a bot, and the trading state that holds."""

from trading_ops.instrument.entries.kinds import bot_counter, bot_gauge
from trading_ops.instrument.metric import Metric

COMPONENTS = (
    *("feed", "broker", "signals", "orders", "store", "reconciliation", "risk", "heartbeat"),
    "account_feed",
)
STATES = ("active", "reducing", "halted")

COMPONENT_METRICS: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_state",
        labels=("state",),
        values={"state": STATES},
        vital=True,
        help="1 for the trading state that holds, 0 for the others.",
        why="A halted bot earns nothing and closes nothing; people must know.",
    ),
    bot_gauge(
        name="trading_component_up",
        labels=("component",),
        vital=True,
        help="1 while the component does its work, 0 while it cannot.",
        why="Names the part that is broken, which is what a recovery acts on.",
    ),
    bot_gauge(
        name="trading_component_last_success_timestamp_seconds",
        unit="seconds",
        labels=("component",),
        help="Time at which the component last did its work, since the epoch; 0 for never.",
        why="A component that is up and does nothing stands still here.",
    ),
    bot_counter(
        name="trading_component_restarts_total",
        labels=("component",),
        help="Restarts of the component inside the process, by command or after a crash.",
        why="Many of them mean that restarting is no cure.",
    ),
    bot_gauge(
        name="trading_circuit_breaker_state",
        labels=("component",),
        help="Circuit breaker of the component: 0 closed, 1 half-open, 2 open.",
        why="An open breaker keeps a failing dependency from being hammered.",
    ),
)
