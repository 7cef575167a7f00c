"""All bots in one table, and what fires beside when it fired: the head of the overview."""

from grafana.boards import links
from grafana.boards.panels import (
    GREEN,
    RED,
    UP,
    YELLOW,
    Column,
    Panel,
    above,
    alert_list,
    below,
    table,
    timeline,
)

STATES = (("0", "active", GREEN), ("1", "reducing", YELLOW), ("2", "halted", RED))
STATE = 'max by (bot) (trading_state{state="reducing"} or trading_state{state="halted"} * 2)'
"""The trading state as a number: 0 active, 1 reducing, 2 halted."""

FIRING = 'count by (bot) (ALERTS{alertstate="firing",bot!=""})'
GIVEN_UP = 'sum by (bot) (trading_ops_incident_escalated{bot!=""})'
NONE = 'max by (bot) (up{job="trading-bot"}) * 0'
"""A zero for each bot: for counts that are absent while there is nothing to count."""

FLEET: Panel = table(
    "All bots",
    {
        "Answers": (
            'max by (bot) (up{job="trading-bot"})',
            Column(unit="short", limits=below(1), states=UP),
        ),
        "State": (STATE, Column(unit="short", limits=above(1, 2), states=STATES)),
        "Broker": (
            'max by (bot) (trading_component_up{component="broker"})',
            Column(unit="short", limits=below(1), states=UP),
        ),
        "Heartbeat age": (
            "time() - max by (bot) (trading_bot_heartbeat_timestamp_seconds)",
            Column(unit="s", limits=above(5, 30), decimals=1),
        ),
        "Price age": (
            "time() - max by (bot) (trading_market_data_timestamp_seconds)",
            Column(unit="s", limits=above(3, 5), decimals=1),
        ),
        "Exposure": (
            'max by (bot) (trading_risk_limit_used_ratio{limit="exposure"})',
            Column(unit="percentunit", limits=above(0.8, 1), decimals=0),
        ),
        "Lost today": (
            'max by (bot) (trading_risk_limit_used_ratio{limit="daily_loss"})',
            Column(unit="percentunit", limits=above(0.8, 1), decimals=0),
        ),
        "Open positions": (
            "max by (bot) (trading_open_positions)",
            Column(unit="short", decimals=0),
        ),
        "Alerts": (f"{FIRING} or {NONE}", Column(unit="short", limits=above(1), decimals=0)),
        "Given up": (f"{GIVEN_UP} or {NONE}", Column(unit="short", limits=above(1), decimals=0)),
        "Error budget": (
            "min by (bot) (slo:period_error_budget_remaining:ratio)",
            Column(unit="percentunit", limits=below(0.25, 0.5), decimals=0),
        ),
    },
    "One row for each bot. Exposure and loss are shares of the bot's own limits; the error budget "
    "is what is left of the month's, of the objective that is worst. A click opens the bot's "
    "board.",
    runbook="TradingBotDown",
    value_links=(links.OF_THE_BOT,),
)

FIRED: Panel = timeline(
    "Firing alerts",
    'max by (alertname, bot, venue) (ALERTS{alertstate="firing",alertname!="Watchdog"})',
    "{{alertname}} {{bot}} {{venue}}",
    "Which alerts fired, and how long. Watchdog always fires and is left out. A click on a band "
    "opens the alert's runbook.",
    states=(("1", "firing", RED),),
    limits=above(1),
    value_links=(links.OF_THE_ALERT,),
)

LIST: Panel = alert_list(
    "Alerts now",
    "What fires or is about to, the most important first, from every data source that Grafana's "
    "alerting reads. An alert is silenced here, in Alertmanager.",
    width=8,
)
