"""A bot reports about itself only: which families Prometheus takes from it, and which it drops."""

import re

import pytest

from tests.rules.committed import PROMETHEUS, read_yaml, recorded
from trading_ops.exporter.freqtrade import heard
from trading_ops.exporter.freqtrade.facts import NAMES
from trading_ops.instrument import catalogue
from trading_ops.instrument.metric import Owner

JOBS = {job["job_name"]: job for job in read_yaml(PROMETHEUS / "prometheus.yml")["scrape_configs"]}
OF_A_BOT = ("trading-bot", "trading-bot-detail")
FREQTRADE = {*NAMES, *heard.NAMES}
"""The exporter serves these in a bot's place, under the jobs of the bots."""

OWN = {
    name
    for one in catalogue.CATALOGUE
    for name in one.sample_names
    if one.name in FREQTRADE or one.owner in {Owner.BOT, Owner.WATCHERS, Owner.PROCESS}
}
FOREIGN = catalogue.sample_names() - OWN


def is_dropped(job: str, name: str) -> bool:
    """Apply the job's relabelling to a name; Prometheus anchors its expressions."""
    steps = JOBS[job]["metric_relabel_configs"]
    assert all((one["source_labels"], one["action"]) == (["__name__"], "drop") for one in steps)
    return any(re.fullmatch(one["regex"], name) for one in steps)


@pytest.mark.parametrize("job", OF_A_BOT)
def test_only_the_families_of_a_bot_are_taken_from_a_bot(job: str) -> None:
    """Every family of the catalogue, so a new one has to be decided on."""
    assert {name for name in OWN if is_dropped(job, name)} == set()
    assert {name for name in FOREIGN if not is_dropped(job, name)} == set()


@pytest.mark.parametrize("job", OF_A_BOT)
@pytest.mark.parametrize(
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
def test_nothing_that_prometheus_writes_is_taken_from_a_bot(job: str, name: str) -> None:
    """Neither what it adds to a scrape, nor the results of rules, nor what it says of itself."""
    assert is_dropped(job, name)


@pytest.mark.parametrize("name", ["mybot_signals_total", "python_info", "upstream_calls_total"])
def test_metrics_of_the_bots_own_are_taken(name: str) -> None:
    """A team's bot may export more than the catalogue knows."""
    assert not any(is_dropped(job, name) for job in OF_A_BOT)


@pytest.mark.parametrize("name", [name for name in JOBS if name.startswith("trading-")])
def test_every_scrape_of_ours_is_bounded(name: str) -> None:
    """In samples and in bytes; of a bot also in labels."""
    job = JOBS[name]
    assert job["sample_limit"] >= 5000
    assert "body_size_limit" in job
    assert ("label_value_length_limit" in job and "label_limit" in job) == (name in OF_A_BOT)
