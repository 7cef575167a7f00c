"""One bot: is it up, is it making progress, what slows it down?"""

from grafana.boards import links
from grafana.boards.board import Board
from grafana.boards.content.fleet import STATE_OR_DOWN, STATES_OR_DOWN
from grafana.boards.content.inside import INSIDE
from grafana.boards.content.series import OF_LEVELS, OF_SIGNALS
from grafana.boards.panels import (
    GREEN,
    PER_SECOND,
    RED,
    UP,
    YELLOW,
    above,
    below,
    events,
    lines,
    row,
    stat,
    steps,
    timeline,
)
from grafana.boards.words import age, gain, last_known, quantiles, rate

BREAKER = (("0", "closed", GREEN), ("1", "half-open", YELLOW), ("2", "open", RED))

NEITHER = 'max by (bot) (up{job="trading-bot"} == 1) + 1'
"""2 for each bot that answers: not applicable."""

LIFE = row(
    "",
    (
        stat(
            "State",
            "short",
            STATE_OR_DOWN,
            "Active: trading. Reducing: reduce-only. Halted: submits no orders. Down: not "
            "answering.",
            legend="{{bot}}",
            limits=above(1, 2),
            states=STATES_OR_DOWN,
            runbook="TradingBotAutoHalted",
        ),
        stat(
            "Broker",
            "short",
            'max by (bot) (trading_component_up{component="broker"})',
            "Broker session as reported by the bot. TradingBotBrokerDisconnected fires after 5 s "
            "down.",
            legend="{{bot}}",
            limits=below(1),
            states=UP,
            runbook="TradingBotBrokerDisconnected",
        ),
        stat(
            "Heartbeat",
            "s",
            f"time() - {last_known('trading_bot_heartbeat_timestamp_seconds')}",
            "Time since the last complete trading pass.",
            legend="{{bot}}",
            limits=above(5, 30),
            decimals=1,
            runbook="TradingBotHeartbeatStopped",
        ),
        stat(
            "Uptime",
            "s",
            "time() - max by (bot) (trading_bot_start_timestamp_seconds)",
            "Process uptime. A low value means a recent restart.",
            legend="{{bot}}",
            limits=below(60, 600),
            runbook="TradingBotRestartStorm",
        ),
        stat(
            "Reconciled",
            "short",
            "min by (bot) (trading_recovery_complete)",
            "Whether the startup reconciliation with the venue succeeded. The bot submits no "
            "orders before that.",
            legend="{{bot}}",
            limits=below(1),
            states=(("0", "not yet", RED), ("1", "yes", GREEN)),
            runbook="TradingBotRecoveryIncomplete",
        ),
        stat(
            "Memory",
            "percentunit",
            "max by (bot) (trading_memory_uss_bytes) "
            "/ max by (bot) (bot:trading_memory_uss_bytes:limit)",
            "Unique set size (USS) of the process as a ratio of its limit.",
            legend="{{bot}}",
            limits=above(0.5, 1),
            decimals=0,
            runbook="TradingBotMemoryHigh",
        ),
    ),
    (
        timeline(
            "Bot answers",
            'max by (bot) (up{job="trading-bot"})',
            "{{bot}}",
            "Scrapes of the bot, every second. TradingBotDown fires after 6 s at 0.",
            limits=below(1),
            runbook="TradingBotDown TradingBotMetricsRejected TradingBotValueImpossible",
        ),
        timeline(
            "Trading state",
            STATE_OR_DOWN,
            "{{bot}}",
            "The most restrictive of all holds, placed by an operator, the reconciler or the bot "
            "itself.",
            states=STATES_OR_DOWN,
            limits=above(1, 2),
            runbook="TradingBotAutoHalted",
        ),
        timeline(
            "Components",
            "min by (bot, component) (trading_component_up)",
            "{{component}}",
            "Whether each component of the bot is up.",
            limits=below(1),
            runbook="TradingBotBrokerDisconnected",
        ),
        timeline(
            "Leader",
            f"max by (bot) (trading_bot_leader) or {NEITHER}",
            "{{bot}}",
            "Only the leader of a bot's instances submits orders.",
            states=(("0", "standby", YELLOW), ("1", "leader", GREEN), ("2", "no standby", GREEN)),
            runbook="TradingBotNoLeader TradingBotSplitBrain",
        ),
    ),
)

WORK = row(
    "Passes and components",
    (
        lines(
            "Age of the heartbeat",
            "s",
            age("trading_bot_heartbeat_timestamp_seconds", "bot"),
            "Time since the last complete trading pass: grows when the loop is stuck, even if the "
            "bot still answers.",
            limits=above(5, 30),
            runbook="TradingBotHeartbeatStopped",
        ),
        lines(
            "Last success of components",
            "s",
            age("trading_component_last_success_timestamp_seconds", "bot", "component"),
            "Time since each component last succeeded, if it ever did. Reconciliation runs once "
            "a minute.",
        ),
        timeline(
            "Circuit breakers",
            "max by (bot, component) (trading_circuit_breaker_state)",
            "{{component}}",
            "Open: the component has stopped calling its dependency for a while.",
            states=BREAKER,
            limits=above(1, 2),
            runbook="TradingBotVenueErrorsHigh",
        ),
        events(
            "Component restarts",
            "short",
            gain("trading_component_restarts_total", "bot", "component"),
            "Restarts inside the process, manual or after a crash.",
            limits=above(1, 3),
            runbook="TradingBotBrokerDisconnected",
        ),
    ),
)

SIGNALS = row(
    "Signals",
    (
        lines(
            "Age of the last signal",
            "s",
            age("trading_signal_timestamp_seconds", "bot", "source"),
            "Time since the last valid signal of each source.",
            limits=above(30, 60),
            runbook="TradingBotSignalsStale",
        ),
        lines(
            "Signal requests",
            PER_SECOND,
            rate("trading_signals_total", "source", "outcome"),
            "Requests per second, by outcome. Skipped: the circuit breaker is open, or not enough "
            "prices yet.",
            colors=OF_SIGNALS,
            runbook="TradingBotSignalsFailing",
        ),
        lines(
            "Signal latency",
            "s",
            quantiles("trading_signal_duration_seconds", "source"),
            "Duration of signal requests, including failures.",
            limits=above(0.1, 1),
            runbook="TradingBotSignalsFailing",
        ),
        timeline(
            "Signal source in use",
            f"max by (bot) (trading_signal_fallback_active) or {NEITHER}",
            "{{bot}}",
            "The configured source, or the simple strategy that replaces it when it fails.",
            states=(
                ("0", "configured", GREEN),
                ("1", "fallback", YELLOW),
                ("2", "no fallback", GREEN),
            ),
            runbook="TradingBotFallbackActive",
        ),
    ),
)

LIVES = row(
    "Restarts and logs",
    (
        steps(
            "Starts in 10 min",
            "short",
            {"{{bot}}": "max by (bot) (changes(trading_bot_start_timestamp_seconds[10m]))"},
            "Number of restarts. Three are a crash loop.",
            limits=above(1, 3),
            runbook="TradingBotRestartStorm",
        ),
        steps(
            "Unclean exits in a day",
            "short",
            {"{{bot}}": "round(max by (bot) (increase(trading_bot_unclean_starts_total[1d])))"},
            "Starts after an unclean exit, according to the bot's records.",
            limits=above(1, 5),
            runbook="TradingBotRestartStorm",
        ),
        timeline(
            "Last exit",
            'max by (bot) (trading_bot_last_exit{how="unknown"} '
            'or trading_bot_last_exit{how="crashed"} * 2)',
            "{{bot}}",
            "How the previous process exited.",
            states=(("0", "clean", GREEN), ("1", "unknown", YELLOW), ("2", "crashed", RED)),
            limits=above(1, 2),
        ),
        lines(
            "Messages logged",
            PER_SECOND,
            rate("trading_log_messages_total", "level"),
            "Log messages per second, by level.",
            colors=OF_LEVELS,
            runbook="TradingLogGrowthHigh",
        ),
    ),
)

BOT = Board(
    uid=links.BOT,
    title="3 Trading bot",
    question="Is this bot up, is it making progress, and what slows it down? Select a bot above.",
    one_bot=True,
    rows=(LIFE, WORK, *INSIDE, SIGNALS, LIVES),
)
