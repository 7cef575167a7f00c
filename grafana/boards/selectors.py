"""The board's variables, added to each selector of a query.

Content is written as bare PromQL, `max by (bot) (trading_drawdown)`. The selectors for a metric
depend on its exporter, which the catalogue knows; a recorded series has the labels that its rule
keeps.
"""

import re

from trading_ops.instrument import catalogue
from trading_ops.instrument.metric import Metric, Owner

WATCHED = 'job=~"$job",instance=~"$instance"'
"""For metrics of our own processes."""

BOT = 'bot=~"$bot",bot=~"$bots|"'
"""`$bots` are those of the selected teams and hosts. Series without a bot belong to every team."""

VENUE = 'venue=~"$venue"'
HOST = 'host=~"$host"'
TEAM_AND_HOST = f'team=~"$team",{HOST}'
"""Labels of targets. Rules drop them, so only scraped series have them."""

OF_BOT = f"{WATCHED},{BOT},{VENUE}"
"""For metrics of a bot: its target has these labels."""

ALERTS = f"{BOT},{VENUE}"
"""For ALERTS, which has the labels of the alerts and neither job nor instance."""

RECORDED = {
    "slo:objective:ratio": "",
    "slo:error_budget:ratio": "",
    "slo:": f"{BOT},{VENUE}",
    "anomaly:": f"{BOT},{VENUE}",
    "bot:": f"{BOT},{VENUE}",
    "bot_code:": f"{BOT},{VENUE}",
    "fleet:": "",
    "instance:": f"{WATCHED},{HOST}",
}
"""By the prefix of a recorded series; the first match counts."""

OF_HOST = ("trading_host_", "trading_process_")
"""Metrics of a whole host, by prefix; its exporter has the label `host`."""

OF_OTHERS = ("prometheus_", "alertmanager_")
"""Metrics of Prometheus and Alertmanager themselves, by prefix."""

_SELECTOR = re.compile(r'(?<![\w:.$"])([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})?')


def select(expr: str) -> str:
    """Add the matchers of the board's variables to each metric of a query."""
    return _SELECTOR.sub(_with_matchers, expr)


def without_job(expr: str) -> bool:
    """Return whether a query selects series without job and instance."""
    found = (narrowing(name) for name, _ in _SELECTOR.findall(expr))
    return any(matchers is not None and WATCHED not in matchers for matchers in found)


def narrowing(name: str) -> str | None:
    """Return the matchers of the board's variables for a metric; None if it is not a metric."""
    if metric := catalogue.find(name):
        return _of_ours(metric)
    if name == "up" or name.startswith(OF_OTHERS):
        return WATCHED
    if name == "ALERTS":
        return ALERTS
    for beginning, matchers in RECORDED.items():
        if name.startswith(beginning):
            return matchers
    return None


def _of_ours(metric: Metric) -> str:
    if metric.owner in (Owner.BOT, Owner.WATCHERS):
        return OF_BOT
    own = [matcher for matcher in (BOT, VENUE) if matcher.partition("=")[0] in metric.labels]
    if metric.owner is Owner.EXPORTER and metric.name.startswith(OF_HOST):
        own.append(HOST)
    return ",".join((WATCHED, *own))


def _with_matchers(found: re.Match[str]) -> str:
    name, own = found.group(1), found.group(2) or ""
    added = narrowing(name)
    if added is None:
        return found.group(0)
    if name == "up" and "trading-bot" in own:
        added = OF_BOT
    matchers = ",".join(part for part in (own.strip(), added) if part)
    return f"{name}{{{matchers}}}" if matchers else name
