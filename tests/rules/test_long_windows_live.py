"""Alerts that look back for long: they fire for a bad history, and not for a good one.

One real Prometheus with the shipped rules, unchanged, that has lived through hours and a day of
both (`histories.py`). Each alert has two subjects. Prometheus has stored of both that the alert was
pending for as long as it must be: what spares the good one is its history alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.rules.configuration import load_rules
from tests.rules.stored_history import HOUR, Curve, Labels, Series, lived_through, pending
from tests.waiting import eventually
from trading_ops import clock

pytestmark = pytest.mark.slow

RULES = {rule.name: rule for rule in load_rules()}
RECORDED = frozenset({"slo:sli_bad:rate5m", "slo:sli_events:rate5m"})
MINUTE = 60.0
DAY = 27.0
"""In hours: a day, and the seven days' windows that start with it."""

WITHIN = 30.0
"""Seconds, times the tests' patience: a group of 30 s takes a wait up at its second evaluation."""

GB, MB = 1e9, 1e6
BREACHED = "TradingBotDrawdownBreached"
ACKNOWLEDGED_UNTIL = "trading_ops_acknowledged_until_timestamp_seconds"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One alert, and what its two subjects have been through."""

    alert: str
    history: Callable[[str, bool], list[Series]]
    """Of a subject's name, and whether it is the bad one."""

    subject: str = "bot"
    more: Mapping[str, str] = field(default_factory=dict)
    """Of the alert's labels, those that are neither its subject nor its rule's own."""

    def labels(self, name: str) -> Labels:
        """Return what an alert on a subject carries."""
        whose = {"venue": "paper"} if self.subject == "bot" else {}
        return {self.subject: name, **whose, **self.more}


def of_bot(name: str, **more: str) -> Labels:
    """Return the labels of a bot's series."""
    return {"bot": name, "venue": "paper", "instance": f"{name}:1", "job": "trading-bot", **more}


def of_host(name: str, **more: str) -> Labels:
    """Return the labels of a host's series."""
    return {"instance": name, "job": "trading-exporter", **more}


def steady(value: float) -> Curve:
    """Return what does not change."""
    return lambda _age: value


def line(now: float, *, per_hour: float) -> Curve:
    """Return what grows or shrinks all the time."""
    return lambda age: now - per_hour * age / HOUR


def count(per_second: float, *, since: float = 30 * HOUR) -> Curve:
    """Return a counter that has counted for so many seconds."""
    return lambda age: per_second * max(0.0, since - age)


def lost(*, every: float, within: float) -> Curve:
    """Return scrapes of which one was lost each so many seconds of late."""
    return lambda age: 0.0 if age < within and age % every == MINUTE / 2 else 1.0


def burnt_by_scrapes(name: str, bad: bool) -> list[Series]:
    """Lost: one scrape in ten for an hour; or four in a row, two hours ago."""
    outage: Curve = lambda age: 0.0 if 120 * MINUTE <= age < 122 * MINUTE else 1.0  # noqa: E731
    curve = lost(every=5 * MINUTE, within=70 * MINUTE) if bad else outage
    return [Series(name="up", labels=of_bot(name), curve=curve)]


def smouldering(name: str, bad: bool) -> list[Series]:
    """Lost: one scrape in two hundred for a day; or a single one in that day."""
    curve = lost(every=(100 if bad else 24 * 60) * MINUTE, within=DAY * HOUR)
    return [Series(name="up", labels=of_bot(name), curve=curve, hours=DAY)]


def burnt_by_orders(name: str, bad: bool) -> list[Series]:
    """Rejected: four orders in five for an hour; or one in fifty."""
    rejected = count(0.08, since=70 * MINUTE) if bad else count(0.0004)
    curves = {"rejected": rejected, "filled": count(0.02)}
    return [
        Series(name="trading_orders_total", labels=of_bot(name, outcome=outcome), curve=curve)
        for outcome, curve in curves.items()
    ]


def disk(name: str, bad: bool) -> list[Series]:
    """30 % are free: 2 % less each hour, or a thousandth."""
    free = line(30 * GB, per_hour=-2 * GB if bad else -0.1 * GB)
    labels = of_host(name, path="/var")
    return [
        Series(name="trading_host_disk_free_bytes", labels=labels, curve=free),
        Series(name="trading_host_disk_size_bytes", labels=labels, curve=steady(100 * GB)),
    ]


def memory(name: str, bad: bool) -> list[Series]:
    """400 of 512 MiB are taken: 16 MB more each hour, or 1."""
    size = line(400 * MB, per_hour=16 * MB if bad else MB)
    return [Series(name="trading_memory_uss_bytes", labels=of_bot(name), curve=size)]


def leak(name: str, bad: bool) -> list[Series]:
    """Suspected until now, or until three minutes ago."""
    curve: Curve = lambda age: float(bad or age > 3 * MINUTE)  # noqa: E731
    return [Series(name="trading_memory_leak_suspected", labels=of_bot(name), curve=curve)]


def processors(name: str, bad: bool) -> list[Series]:
    """Of two processors a fiftieth is idle, or a half."""
    idle = count(0.04 if bad else 1.0)
    return [
        Series(
            name="trading_host_cpu_seconds_total", labels=of_host(name, mode="idle"), curve=idle
        ),
        Series(name="trading_host_cpus", labels=of_host(name), curve=steady(2)),
    ]


def answers(metric: str, limit: float) -> Callable[[str, bool], list[Series]]:
    """Return the timeline of answers that are all later than a limit, or none."""

    def history(name: str, bad: bool) -> list[Series]:
        under = {f"{limit:g}": 0.0 if bad else 0.1, f"{2 * limit:g}": 0.1, "+Inf": 0.1}
        return [
            Series(name=f"{metric}_bucket", labels=of_bot(name, le=le), curve=count(per_second))
            for le, per_second in under.items()
        ]

    return history


def denials(name: str, bad: bool) -> list[Series]:
    """Denied for no good reason: six a minute, or one."""
    labels = of_bot(name, code="exposure")
    curve = count((6 if bad else 1) / MINUTE)
    return [Series(name="trading_order_denials_total", labels=labels, curve=curve)]


def failures(name: str, bad: bool) -> list[Series]:
    """Statements that fail: two a minute, or a tenth."""
    labels = of_bot(name, kind="disk")
    curve = count((2 if bad else 0.1) / MINUTE)
    return [Series(name="trading_database_errors_total", labels=labels, curve=curve)]


def lives(name: str, bad: bool) -> list[Series]:
    """Lived for two minutes each, of late; or for eight."""
    length = (2 if bad else 8) * MINUTE
    begun: Curve = lambda age: 1.7 * GB - min(age, 9 * MINUTE) // length * length  # noqa: E731
    return [Series(name="trading_bot_start_timestamp_seconds", labels=of_bot(name), curve=begun)]


def attempts(name: str, bad: bool) -> list[Series]:
    """Of twelve an hour ten fail, or two."""
    curves = {"failed": 10 if bad else 2, "verified": 2 if bad else 10}
    return [
        Series(
            name="trading_ops_attempts_total",
            labels={"action": name, "outcome": outcome, "instance": "r:1"},
            curve=count(an_hour / HOUR),
        )
        for outcome, an_hour in curves.items()
    ]


def mails(name: str, bad: bool) -> list[Series]:
    """Not delivered: two a minute, or none any more."""
    curve = count(2 / MINUTE) if bad else steady(120)
    labels = {"instance": name, "job": "alertmanager", "integration": "email"}
    return [Series(name="alertmanager_notifications_failed_total", labels=labels, curve=curve)]


def rules_failed(name: str, bad: bool) -> list[Series]:
    """A rule fails each minute, until now or until ten minutes ago."""
    until: Curve = lambda age: count(1 / MINUTE)(age if bad else max(age, 10 * MINUTE))  # noqa: E731
    labels = {"instance": name, "job": "prometheus", "rule_group": "rules/bot.yml;trading-bot"}
    return [Series(name="prometheus_rule_evaluation_failures_total", labels=labels, curve=until)]


def unanswered(name: str, bad: bool) -> list[Series]:
    """Critical for twenty minutes: given back, or taken for the next hour."""
    ours = {"bot": name, "venue": "paper"}
    breached = {
        "alertname": BREACHED,
        "alertstate": "firing",
        "severity": "critical",
        "page_after": "0s",
        **ours,
    }
    until = steady(0 if bad else clock.timestamp() + HOUR)
    return [
        Series(name="ALERTS", labels=breached, curve=steady(1), hours=1 / 3),
        Series(name=ACKNOWLEDGED_UNTIL, labels={"origin": BREACHED, **ours}, curve=until),
    ]


def of_slo(name: str) -> Mapping[str, str]:
    """Return the labels by which Sloth knows one."""
    return {"sloth_id": f"trading-bot-{name}", "sloth_service": "trading-bot", "sloth_slo": name}


CASES = {
    "scrapes burn fast": Case(
        alert="TradingErrorBudgetBurnFast", history=burnt_by_scrapes, more=of_slo("availability")
    ),
    "orders burn fast": Case(
        alert="TradingErrorBudgetBurnFast", history=burnt_by_orders, more=of_slo("order-success")
    ),
    "scrapes burn slowly": Case(
        alert="TradingErrorBudgetBurnSlow", history=smouldering, more=of_slo("availability")
    ),
    "disk": Case(
        alert="TradingHostDiskFilling",
        history=disk,
        subject="instance",
        more={"job": "trading-exporter", "path": "/var"},
    ),
    "memory": Case(alert="TradingBotMemoryLimitForecast", history=memory),
    "leak": Case(alert="TradingBotMemoryLeakSuspected", history=leak),
    "processors": Case(
        alert="TradingHostCpuHigh",
        history=processors,
        subject="instance",
        more={"job": "trading-exporter"},
    ),
    "orders slow": Case(
        alert="TradingBotOrdersSlow", history=answers("trading_order_duration_seconds", 1)
    ),
    "database slow": Case(
        alert="TradingDatabaseSlow", history=answers("trading_database_query_duration_seconds", 0.5)
    ),
    "denials": Case(alert="TradingBotOrdersDenied", history=denials, more={"code": "exposure"}),
    "failures": Case(alert="TradingDatabaseErrors", history=failures, more={"kind": "disk"}),
    "lives": Case(alert="TradingBotRestartStorm", history=lives),
    "attempts": Case(alert="TradingOpsAttemptsFailing", history=attempts, subject="action"),
    "mails": Case(
        alert="TradingOpsNotificationsFailing",
        history=mails,
        subject="instance",
        more={"integration": "email"},
    ),
    "rules": Case(
        alert="TradingOpsRuleFailing",
        history=rules_failed,
        subject="instance",
        more={"job": "prometheus"},
    ),
    "unanswered": Case(
        alert="TradingAlertUnacknowledged",
        history=unanswered,
        more={"origin": BREACHED},
    ),
}


async def test_a_bad_history_fires_and_a_good_one_does_not(tmp_path: Path) -> None:
    """All at once: each alert on its own bad subject, and on no good one, not even pending."""
    now = float(int(clock.timestamp()))
    history, bad, good = list[Series](), set[tuple[str, str]](), set[tuple[str, str]]()
    for key, case in CASES.items():
        for kind, found in (("bad", bad), ("good", good)):
            name = f"{kind} {key}".replace(" ", "-")
            found.add((case.alert, name))
            history += case.history(name, kind == "bad")
            history.append(pending(RULES[case.alert], case.labels(name), now))
    async with (
        lived_through(tmp_path / "p", history, now=now, recorded=RECORDED) as address,
        aiohttp.ClientSession() as session,
    ):

        async def missing() -> bool:
            return not bad - await shown("firing")

        async def shown(*states: str) -> set[tuple[str, str]]:
            async with session.get(f"http://{address}/api/v1/alerts") as answer:
                alerts = (await answer.json())["data"]["alerts"]
            return {
                (labels["alertname"], labels.get(subject, ""))
                for alert in alerts
                if alert["state"] in states
                for labels in [alert["labels"]]
                for subject in ("bot", "instance", "action")
            }

        await eventually(missing, within=WITHIN, what="every alert to fire for its bad history")
        assert good & await shown("firing", "pending") == set()
