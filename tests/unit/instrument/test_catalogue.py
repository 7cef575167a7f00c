"""The catalogue is complete, consistent and keeps to the naming rules."""

import re

import pytest

from tests.each import each
from trading_ops.instrument import CATALOGUE, BotMetrics, Metric, MetricType, Owner, find
from trading_ops.instrument import catalogue as catalogue_module

TARGET_LABELS = {"job", "instance", "bot", "env", "service", "cluster", "region", "stage", "type"}
# These tell of venues and bots that are not their own process: the labels are theirs.
CROSS_LABELS = {
    "trading_exporter_freqtrade_requests_total",
    "trading_ops_freqtrade_requests_total",
    "trading_ops_certificate_expiry_timestamp_seconds",
    "trading_ops_notice",
    "trading_ops_incident_escalated",
    "trading_ops_acknowledged_until_timestamp_seconds",
    "trading_ops_silenced_until_timestamp_seconds",
    "trading_ops_silences_covering",
    "trading_ops_agent_unresponsive",
    "trading_ops_agent_last_answer_timestamp_seconds",
    "trading_ops_holds_reapplied_total",
    "trading_ops_bot_events_dropped_total",
    "trading_ops_holds_active",
    "trading_ops_holds_unregistered",
    "trading_ops_maintenance_holds_left",
    "trading_ops_readiness_stage",
    "trading_ops_readiness_credited_seconds",
    "trading_ops_readiness_criteria",
    "trading_ops_readiness_criteria_regressed",
    "trading_ops_readiness_held",
    "trading_ops_readiness_sign_off_due_timestamp_seconds",
}


def test_names_are_unique_and_samples_lead_back() -> None:
    """Every sample name leads to exactly one metric."""
    samples = [sample for metric in CATALOGUE for sample in metric.sample_names]
    assert len(samples) == len(set(samples))
    assert catalogue_module.sample_names() == set(samples)
    for metric in CATALOGUE:
        assert find(metric.name) is metric
        assert all(find(sample) is metric for sample in metric.sample_names)
    assert find("trading_nothing") is None


@each("metric", CATALOGUE, name=lambda metric: metric.name)
def test_entry_keeps_to_the_rules(metric: Metric) -> None:
    """Names are snake case with the base unit, texts are sentences, labels do not clash."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
    if metric.unit:
        assert metric.family.endswith(metric.unit)
    assert metric.help.endswith(".")
    assert metric.why.endswith(".")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    if metric.name not in CROSS_LABELS:
        assert not TARGET_LABELS & set(metric.labels)
    if metric.owner is not Owner.PROCESS:
        assert metric.name.startswith("trading_")


def test_histogram_exposes_three_names() -> None:
    """A histogram is selected by its bucket, sum and count, a gauge by its name."""
    latency = find("trading_market_data_latency_seconds_bucket")
    assert latency is not None
    assert latency.kind is MetricType.HISTOGRAM
    assert latency.sample_names == (
        "trading_market_data_latency_seconds_bucket",
        "trading_market_data_latency_seconds_sum",
        "trading_market_data_latency_seconds_count",
    )
    state = find("trading_state")
    assert state is not None
    assert state.sample_names == ("trading_state",)


@pytest.mark.parametrize(
    ("kind", "name", "buckets", "values"),
    [
        (MetricType.COUNTER, "trading_things", (), {}),
        (MetricType.GAUGE, "trading_things_total", (), {}),
        (MetricType.HISTOGRAM, "trading_things_seconds", (), {}),
        (MetricType.GAUGE, "trading_things", (1.0,), {}),
        (MetricType.GAUGE, "trading_things", (), {"state": ("on",)}),
    ],
)
def test_contradictory_entry_is_refused(
    kind: MetricType, name: str, buckets: tuple[float, ...], values: dict[str, tuple[str, ...]]
) -> None:
    """An entry that could not be exported as it says is refused at import."""
    with pytest.raises(ValueError, match=name):
        Metric(
            name=name,
            kind=kind,
            owner=Owner.BOT,
            help="A.",
            why="B.",
            buckets=buckets,
            values=values,
        )


def test_bot_registers_exactly_its_entries() -> None:
    """A bot exports each of its catalogue entries, and nothing that is not in the catalogue."""
    metrics = BotMetrics(version="1", mode="paper")
    exported = {family.name for family in metrics.registry.collect()}
    wanted = {metric.family for metric in CATALOGUE if metric.owner in {Owner.BOT, Owner.PROCESS}}
    assert exported == wanted
