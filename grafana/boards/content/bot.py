"""One bot: does it live, does it work, what holds it up?"""

from grafana.boards import links
from grafana.boards.board import Board
from grafana.boards.content.fleet import STATE as STATE_AS_NUMBER
from grafana.boards.content.fleet import STATES
from grafana.boards.content.inside import INSIDE
from grafana.boards.panels import (
    GREEN,
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
from grafana.boards.words import age, gain, quantiles, rate

BREAKER = (("0", "closed", GREEN), ("1", "half-open", YELLOW), ("2", "open", RED))

NEITHER = 'max by (bot) (up{job="trading-bot"}) * 0 + 2'
"""A 2 for each bot: what is said of one to which a question does not apply."""

LIFE = row(
    "",
    (
        stat(
            "State",
            "short",
            STATE_AS_NUMBER,
            "Active trades, reducing only shrinks what is held, halted submits nothing.",
            legend="{{bot}}",
            limits=above(1, 2),
            states=STATES,
            runbook="TradingBotHaltedByMachine",
        ),
        stat(
            "Broker session",
            "short",
            'max by (bot) (trading_component_up{component="broker"})',
            "Whether the bot says that its broker session works. Five seconds down raise "
            "TradingBotBrokerDisconnected.",
            legend="{{bot}}",
            limits=below(1),
            states=UP,
            runbook="TradingBotBrokerDisconnected",
        ),
        stat(
            "Heartbeat age",
            "s",
            "time() - max by (bot) (trading_bot_heartbeat_timestamp_seconds)",
            "Time since the last whole trading pass.",
            legend="{{bot}}",
            limits=above(5, 30),
            decimals=1,
            runbook="TradingBotHeartbeatStopped",
        ),
        stat(
            "Runs for",
            "s",
            "time() - max by (bot) (trading_bot_start_timestamp_seconds)",
            "Age of the process. A young one was restarted, by whomever.",
            legend="{{bot}}",
            limits=below(60, 600),
            runbook="TradingBotRestartStorm",
        ),
        stat(
            "Settled with its venue",
            "short",
            "min by (bot) (trading_recovery_complete)",
            "Whether the comparison with the venue at the start ended well. Until then nothing is "
            "submitted.",
            legend="{{bot}}",
            limits=below(1),
            states=(("0", "not yet", RED), ("1", "settled", GREEN)),
            runbook="TradingBotRecoveryIncomplete",
        ),
        stat(
            "Memory of its limit",
            "percentunit",
            "max by (bot) (trading_memory_uss_bytes) "
            "/ max by (bot) (bot:trading_memory_uss_bytes:limit)",
            "The process's own memory as a share of what it may take.",
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
            "Each scrape of a bot, every second: 1 is good. Six seconds at 0 raise TradingBotDown.",
            limits=below(1),
            runbook="TradingBotDown",
        ),
        timeline(
            "Trading state",
            STATE_AS_NUMBER,
            "{{bot}}",
            "The most restrictive of what people, the reconciler and the bot's own checks ask for.",
            states=STATES,
            limits=above(1, 2),
            runbook="TradingBotHaltedByMachine",
        ),
        timeline(
            "Parts at work",
            "min by (bot, component) (trading_component_up)",
            "{{bot}} {{component}}",
            "Whether each part of the bot does its work.",
            limits=below(1),
            runbook="TradingBotBrokerDisconnected",
        ),
        timeline(
            "Who leads",
            f"max by (bot) (trading_bot_leader) or {NEITHER}",
            "{{bot}}",
            "Of several instances one may submit orders. A bot without a standby is always the "
            "one.",
            states=(("0", "stands by", YELLOW), ("1", "leads", GREEN), ("2", "alone", GREEN)),
            runbook="TradingBotLeaderAbsent TradingBotLeadersMany",
        ),
    ),
)

WORK = row(
    "Its passes and its parts",
    (
        lines(
            "Age of the heartbeat",
            "s",
            age("trading_bot_heartbeat_timestamp_seconds", "bot"),
            "Time since a whole trading pass: it grows when the loop is stuck, even if the bot "
            "still answers.",
            limits=above(5, 30),
            runbook="TradingBotHeartbeatStopped",
        ),
        lines(
            "Since a part last did its work",
            "s",
            age("trading_component_last_success_timestamp_seconds > 0", "bot", "component"),
            "Time since each part last did its work; a part that never did is left out.",
            limits=above(30, 60),
        ),
        timeline(
            "Circuit breakers",
            "max by (bot, component) (trading_circuit_breaker_state)",
            "{{bot}} {{component}}",
            "Open means that a part has stopped trying for a while.",
            states=BREAKER,
            limits=above(1, 2),
            runbook="TradingBotVenueErrorsHigh",
        ),
        events(
            "Restarts of parts",
            "short",
            gain("trading_component_restarts_total", "bot", "component"),
            "Restarts inside the process, by command or after a crash.",
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
            "Time since the last usable signal of each source.",
            limits=above(30, 60),
            runbook="TradingBotSignalsStale",
        ),
        lines(
            "Signals asked for",
            "cps",
            rate("trading_signals_total", "source", "outcome"),
            "Per second, by how that ended. Skipped: its breaker is open, or too little was seen.",
            runbook="TradingBotSignalsFailing",
        ),
        lines(
            "Time to a signal",
            "s",
            quantiles("trading_signal_duration_seconds", "source"),
            "From asking a source to its answer or failure.",
            limits=above(0.1, 1),
            runbook="TradingBotSignalsFailing",
        ),
        timeline(
            "Who decides",
            f"max by (bot) (trading_signal_fallback_active) or {NEITHER}",
            "{{bot}}",
            "The source that was chosen, or the simple strategy that stands in for it.",
            states=(
                ("0", "the source", GREEN),
                ("1", "the fallback", YELLOW),
                ("2", "has no fallback", GREEN),
            ),
            runbook="TradingBotFallbackActive",
        ),
    ),
)

LIVES = row(
    "Lives and logs",
    (
        steps(
            "Starts in ten minutes",
            "short",
            {"{{bot}}": "max by (bot) (changes(trading_bot_start_timestamp_seconds[10m]))"},
            "How often the process was started anew, whoever did it. Three are a storm.",
            limits=above(1, 3),
            runbook="TradingBotRestartStorm",
        ),
        events(
            "Unclean starts in a day",
            "short",
            {"{{bot}}": "max by (bot) (increase(trading_bot_unclean_starts_total[1d]))"},
            "Starts after a life that did not end in order, as the bot's own records tell.",
            limits=above(1, 5),
            runbook="TradingBotRestartStorm",
        ),
        timeline(
            "Previous end",
            "max by (bot, how) (trading_bot_previous_end) == 1",
            "{{bot}} {{how}}",
            "How the life before this one ended.",
            states=(("1", "so it ended", YELLOW),),
        ),
        lines(
            "Messages logged",
            "cps",
            rate("trading_log_messages_total", "level"),
            "Per second, by level. Errors that nobody has an alert for show here first.",
            runbook="TradingLogGrowing",
        ),
    ),
)

BOT = Board(
    uid=links.BOT,
    title="Trading bot",
    question="Does this bot live, does it work, and what holds it up? Choose one above.",
    rows=(LIFE, WORK, *INSIDE, SIGNALS, LIVES),
)
