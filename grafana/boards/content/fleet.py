"""The head of the overview: all bots in one table, and firing alerts over time."""

from grafana.boards import links
from grafana.boards.panels import (
    BLUE,
    GREEN,
    RED,
    UP,
    YELLOW,
    Column,
    Limits,
    Panel,
    above,
    alert_list,
    below,
    table,
    timeline,
)
from grafana.boards.words import last_known

STATES = (("0", "active", GREEN), ("1", "reducing", YELLOW), ("2", "halted", RED))
STATE = 'max by (bot) (trading_state{state="reducing"} or trading_state{state="halted"} * 2)'
"""The trading state as a number: 0 active, 1 reducing, 2 halted."""

DOWN = 'max by (bot) (up{job="trading-bot"}) == 0'
"""The bots that do not answer."""

STATE_OR_DOWN = f"({DOWN}) + 3 or {STATE}"
"""Like `STATE`, and 3 for a bot that does not answer."""

STATES_OR_DOWN = (*STATES, ("3", "down", RED))

_FIRING = 'alertstate="firing",bot!="",severity'
FIRING_CRITICAL = f'count by (bot) (ALERTS{{{_FIRING}=~"critical|emergency"}})'
FIRING_OTHER = f'count by (bot) (ALERTS{{{_FIRING}!~"critical|emergency"}})'
ESCALATED = 'sum by (bot) (trading_ops_incident_escalated{bot!=""})'
SILENCED = "max by (bot) (trading_ops_silences_covering)"
BREACHED = 1.001
"""For a limit whose alert fires above 1: a bot may use all of it."""

WARNED: Limits = ((None, GREEN), (1, YELLOW))

NONE = 'max by (bot) (up{job="trading-bot"}) * 0'
"""0 for each bot, for counts that are absent when empty."""

FLEET: Panel = table(
    "All bots",
    {
        "State": (
            STATE_OR_DOWN,
            Column(unit="short", limits=above(1, 2), states=STATES_OR_DOWN),
        ),
        "Daily loss": (
            last_known('trading_risk_limit_used_ratio{limit="daily_loss"}'),
            Column(unit="percentunit", limits=above(0.8, 1), decimals=0),
        ),
        "Exposure": (
            last_known('trading_risk_limit_used_ratio{limit="exposure"}'),
            Column(unit="percentunit", limits=above(BREACHED), decimals=0),
        ),
        "Critical": (
            f"{FIRING_CRITICAL} or {NONE}",
            Column(unit="short", limits=above(1), decimals=0),
        ),
        "Warnings": (
            f"{FIRING_OTHER} or {NONE}",
            Column(unit="short", limits=WARNED, decimals=0),
        ),
        "Silences": (SILENCED, Column(unit="short", limits=above(1), decimals=0)),
        "Escalated": (f"{ESCALATED} or {NONE}", Column(unit="short", limits=above(1), decimals=0)),
        "Broker": (
            'max by (bot) (trading_component_up{component="broker"})',
            Column(unit="short", limits=below(1), states=UP),
        ),
        "Heartbeat": (
            f"time() - {last_known('trading_bot_heartbeat_timestamp_seconds')}",
            Column(unit="s", limits=above(5, 30), decimals=1),
        ),
        "Price age": (
            f"time() - {last_known('trading_market_data_timestamp_seconds')}",
            Column(unit="s", limits=above(3, 5), decimals=1),
        ),
        "Positions": (
            last_known("trading_open_positions"),
            Column(unit="short", decimals=0),
        ),
        "Budget": (
            "clamp_min(min by (bot) (slo:period_error_budget_remaining:ratio), -1)",
            Column(unit="percentunit", limits=below(0.25, 0.5), decimals=0),
        ),
    },
    "One row per bot. Daily loss and exposure are ratios of the bot's limits; for a bot that does "
    "not answer, the last value of the past hour. Heartbeat: time since the last trading pass. "
    "Critical and warnings: firing alerts. Silences: manual silences, which stop remediation. "
    "Budget: error budget left for the month, for the worst SLO. Purple: no data. Click a bot to "
    "open its dashboard.",
    runbook="TradingBotDown",
    value_links=(links.OF_THE_BOT,),
    linked="bot",
    worst_first="State",
    height=8,
)

FIRED_ALL = 'ALERTS{alertstate="firing",alertname!="Watchdog"}'
NO_ALERT = 'label_replace(vector(0), "alertname", "no alert", "", "")'


def _firing(severity: str, *by: str) -> str:
    matchers = f'alertstate="firing",alertname!="Watchdog",severity="{severity}"'
    return f"max by ({', '.join(('alertname', *by))}) (ALERTS{{{matchers}}})"


_CRITICAL = _firing("critical", "bot", "venue")


FIRED: Panel = timeline(
    "Firing alerts",
    f"{_firing('emergency', 'bot', 'venue')} * 4 or {_CRITICAL} * 3 or {_firing('warning')} * 2 "
    f"or {_firing('info')} "
    f"or ({NO_ALERT} unless on () count({FIRED_ALL}))",
    "{{alertname}} {{bot}} {{venue}}",
    "Firing alerts over time, by severity: a critical alert of each bot, other alerts once for all "
    "bots. Watchdog always fires and is not shown. Click a band to open the alert's runbook.",
    states=(
        ("0", "none", GREEN),
        ("1", "info", BLUE),
        ("2", "warning", YELLOW),
        ("3", "critical", RED),
        ("4", "emergency", "dark-red"),
    ),
    limits=above(2, 3),
    value_links=(links.OF_THE_ALERT,),
)

_LISTED = (
    "newest first, from all alerting data sources of Grafana. You can silence an alert from here, "
    "in Alertmanager."
)
LISTS: tuple[Panel, Panel] = (
    alert_list(
        "Critical alerts now",
        'severity=~"critical|emergency"',
        f"Firing critical and emergency alerts, {_LISTED}",
        width=7,
    ),
    alert_list(
        "Other alerts now",
        'severity!~"critical|emergency"',
        f"Firing alerts of other severities, {_LISTED}",
        width=7,
    ),
)
"""Critical alerts separately: the front end cannot sort the rules of Prometheus by severity."""
