"""A bot reports about itself only: which families Prometheus takes from it, and which it drops."""

import re
from pathlib import Path

import pytest

from tests.each import each
from tests.rules.configuration import (
    PROMETHEUS,
    RUNBOOKS,
    front_matter,
    load_rules,
    metric_names,
    read_yaml,
    recorded,
)
from tests.rules.jobs import OF_BOTS, job_of, pin_of
from trading_ops.capacity.resources import RESOURCES
from trading_ops.console import figures as console
from trading_ops.holds.agent_probe import HEARTBEAT_AGE
from trading_ops.instrument import catalogue
from trading_ops.instrument.metric import MetricType
from trading_ops.jobs.work.database_report import POOLS
from trading_ops.readiness.plan import load_plan
from trading_ops.reports import budgets
from trading_ops.reports import figures as reports

JOBS = {job["job_name"]: job for job in read_yaml(PROMETHEUS / "prometheus.yml")["scrape_configs"]}
OF_A_BOT = ("trading-bot", "trading-bot-detail")
WITHOUT_JOB = {"up", "scrape_samples_scraped", "ALERTS", *recorded()}
"""Prometheus writes these; which job `up` must name is the rule's choice."""

PLAN = load_plan(Path("none"))
FOREIGN = catalogue.sample_names() - OF_BOTS


def is_dropped(job: str, name: str) -> bool:
    """Apply the job's relabelling to a name; Prometheus anchors its expressions."""
    steps = JOBS[job]["metric_relabel_configs"]
    assert {step["action"] for step in steps} == {"keep", "drop"}
    assert all(step["source_labels"] == ["__name__"] for step in steps)
    return any(
        bool(re.fullmatch(step["regex"], name)) == (step["action"] == "drop") for step in steps
    )


@pytest.mark.parametrize("job", OF_A_BOT)
def test_only_the_families_of_a_bot_are_taken_from_a_bot(job: str) -> None:
    """Every family of the catalogue, so a new one has to be decided on."""
    assert {name for name in OF_BOTS if is_dropped(job, name)} == set()
    assert {name for name in FOREIGN if not is_dropped(job, name)} == set()


@each(
    "name",
    [
        *sorted(recorded()),
        "up",
        "ALERTS",
        "ALERTS_FOR_STATE",
        "scrape_samples_scraped",
        "prometheus_notifications_errors_total",
        "alertmanager_notifications_failed_total",
    ],
)
def test_nothing_that_prometheus_writes_is_taken_from_a_bot(name: str) -> None:
    """Neither what it adds to a scrape, nor the results of rules, nor what it says of itself."""
    assert all(is_dropped(job, name) for job in OF_A_BOT)


@pytest.mark.parametrize(
    "name", ["trading_mybot_edge_ratio", "python_info", "process_resident_memory_bytes"]
)
def test_metrics_of_the_bots_own_are_taken(name: str) -> None:
    """A team's bot may export more than the catalogue knows, under a prefix of its own."""
    assert not any(is_dropped(job, name) for job in OF_A_BOT)


@pytest.mark.parametrize(
    "name", ["kube_pod_status_ready", "node_load1", "http_requests_total", "go_goroutines", "my:x"]
)
def test_a_family_of_another_team_is_not_taken_from_a_bot(name: str) -> None:
    """A rule of theirs may read it without naming a job."""
    assert all(is_dropped(job, name) for job in OF_A_BOT)


@pytest.mark.parametrize("name", [name for name in JOBS if name.startswith("trading-")])
def test_every_scrape_of_ours_is_bounded(name: str) -> None:
    """In samples and in bytes; of a bot also in labels."""
    job = JOBS[name]
    assert job["sample_limit"] >= 5000
    assert "body_size_limit" in job
    assert ("label_value_length_limit" in job and "label_limit" in job) == (name in OF_A_BOT)


ASKED = {rule.name: rule.expr for rule in load_rules()} | recorded()
OF_ONE_BOT = 'job=~"trading-bot|trading-bot-detail"'
"""Both jobs scrape the same bot."""

QUERIES = {
    **{
        f"verify {path.stem}": plan["verify"]["query"]
        for path in sorted(RUNBOOKS.glob("*.md"))
        if "verify" in (plan := front_matter(path))
    },
    **{
        f"readiness {stage.name} {criterion.name}": criterion.query
        for stage in PLAN.stages
        for criterion in stage.criteria
        if criterion.query
    },
    "readiness present": PLAN.present,
    **{
        f"report {name}": query.replace(" offset $span", "")
        for name, (query, _) in reports.QUERIES.items()
    },
    **{f"report {name}": query for name, query in budgets.QUERIES.items()},
    **{f"console {name}": query for name, query in console.QUERIES.items()},
    **{f"console {name}": query for name, query in console.WITHOUT_AGENT.items()},
    "heartbeat of a silent bot": HEARTBEAT_AGE.format(bot="alpha"),
    **{f"pool {name}": query for name, query in POOLS.items()},
    **{
        f"capacity {resource.name} {number}": query
        for resource in RESOURCES
        for number, query in enumerate(
            (resource.used, resource.limit, resource.saturation, resource.errors)
        )
        if isinstance(query, str) and query
    },
}
SELECTOR = re.compile(r"(?<![\w:])([a-z]\w*)(\{[^}]*\})?(?![\w:(])")


def unpinned(expr: str) -> set[str]:
    """Return the metrics that a query selects, or selects once, without the job that owns them."""
    bare = re.sub(r"\b(by|without|on|ignoring) \([^)]*\)", "", expr)
    known = {name for name in metric_names(expr) if name not in WITHOUT_JOB}
    return {
        name
        for name, labels in SELECTOR.findall(bare)
        if name in known and pin_of(name) not in labels
        if not (name in OF_BOTS and OF_ONE_BOT in labels)
    }


@each("name", sorted(QUERIES))
def test_we_believe_a_metric_only_from_the_job_that_owns_it(name: str) -> None:
    """What verifies an action, approves a stage, or is shown to an operator, must not be forged."""
    assert unpinned(QUERIES[name]) == set()
    assert all(
        "job=" in labels for metric, labels in SELECTOR.findall(QUERIES[name]) if metric == "up"
    )


@each("name", sorted(ASKED))
def test_a_rule_believes_a_metric_only_from_the_job_that_owns_it(name: str) -> None:
    """Add the job to the selector: what any other process exports under this name is a claim."""
    assert unpinned(ASKED[name]) == set()


def test_a_gauge_of_a_bot_that_a_rule_reads_cannot_hold_an_impossible_value_unnoticed() -> None:
    """NaN in it mutes every rule that reads it."""
    expr = ASKED["TradingBotValueImpossible"]
    (first, *_) = re.findall(r'job="trading-bot-detail",\s*__name__=~"([^"]+)"', expr)
    read = {name for rule in ASKED.values() for name in metric_names(rule)} & OF_BOTS
    gauges = {
        name
        for name in read
        if (metric := catalogue.find(name)) is not None
        and metric.kind is MetricType.GAUGE
        and job_of(name) == "trading-bot-detail"
    }
    assert {name for name in gauges if not re.fullmatch(first, name)} == set()


@each("name", sorted(ASKED))
def test_a_rule_asks_about_scrapes_of_a_named_job(name: str) -> None:
    """Other teams' targets have `up` too."""
    for metric in ("up", "scrape_samples_scraped"):
        found = [labels for queried, labels in SELECTOR.findall(ASKED[name]) if queried == metric]
        assert all("job=" in labels for labels in found)


def test_the_reader_of_selectors_notices_a_missing_job() -> None:
    """Where one of two selectors has it, and where the job is another process's."""
    good = 'trading_venue_up{job="trading-exporter"}'
    assert unpinned(f"max by (trading_state) ({good}[3s]) == 0") == set()
    assert unpinned(f"{good} and trading_venue_up[3s]") == {"trading_venue_up"}
    assert unpinned('trading_state{job="trading-bot-detail",state="halted"}') == {"trading_state"}
