"""The recorder: exact, bounded, and seen by prometheus_client's registry as one of its own."""

import threading
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client import Histogram as PeerHistogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from trading_ops.instrument import BotMetrics, Exposition, Metric, MetricType, Owner
from trading_ops.instrument.children import Counter, Histogram, require_gil
from trading_ops.instrument.labels import LONGEST, OTHER, clean
from trading_ops.instrument.numbers import text_of
from trading_ops.instrument.recorder import UNDECLARED, Recorder, counters, gauges, histograms

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def entry(
    kind: MetricType, *labels: str, name: str = "", buckets: tuple[float, ...] = ()
) -> Metric:
    """Return a catalogue entry of the test's own."""
    usual = {
        MetricType.COUNTER: "things_total",
        MetricType.GAUGE: "level",
        MetricType.HISTOGRAM: "wait_seconds",
    }
    return Metric(
        name=name or usual[kind],
        kind=kind,
        owner=Owner.BOT,
        labels=labels,
        buckets=buckets or ((0.5, 1.0) if kind is MetricType.HISTOGRAM else ()),
        exemplar="" if kind is MetricType.GAUGE else "order_id",
        help="A.",
        why="B.",
    )


def registry_of(*collectors: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return registry


def test_a_counter_never_falls() -> None:
    """A negative amount is a mistake that shows at once."""
    counter = Counter()
    counter.inc(2)
    with pytest.raises(ValueError, match="cannot decrease"):
        counter.inc(-1)
    assert counter.value == 2


def test_a_gauge_goes_both_ways() -> None:
    """A gauge can be set, raised and lowered."""
    gauge = gauges(entry(MetricType.GAUGE)).labels()
    gauge.set(3)
    gauge.inc()
    gauge.dec(2)
    assert gauge.value == 2


@pytest.mark.parametrize("value", [-1.0, 0.0, 0.5, 0.50001, 1.0, 7.0, float("inf"), float("-inf")])
def test_buckets_are_the_peers(value: float) -> None:
    """A value falls into the bucket in which prometheus_client counts it."""
    ours = histograms(entry(MetricType.HISTOGRAM))
    ours.labels().observe(value)
    peer = PeerHistogram("wait_seconds", "A.", buckets=(0.5, 1.0), registry=None)
    peer.observe(value)
    wanted = [s for f in peer.collect() for s in f.samples if not s.name.endswith("_created")]
    assert ours.samples() == wanted


def test_nan_is_no_observation() -> None:
    """One NaN would make the sum NaN for the rest of the process's life."""
    histogram = Histogram((0.5, 1.0))
    histogram.observe(float("nan"))
    histogram.observe_for(float("nan"), "A-1")
    histogram.observe(0.25)
    assert (histogram.counts, histogram.sum, histogram.exemplars) == ([1, 0, 0], 0.25, None)


def test_declared_values_are_there_at_once_and_strangers_share_one_series() -> None:
    """Known label sets start at zero; what is not declared becomes `other`, and is reported."""
    refused: list[int] = []
    family = counters(
        entry(MetricType.COUNTER, "side", "venue"),
        declared={"side": ["buy", "sell"], "venue": ["kraken"]},
        refused=lambda: refused.append(1),
    )
    assert {tuple(s.labels.values()): s.value for s in family.samples()} == {
        ("buy", "kraken"): 0,
        ("sell", "kraken"): 0,
    }
    for number in range(100):
        family.labels("buy", f"venue-{number}").inc()
    assert family.labels("buy", "kraken").value == 0
    assert family.labels("buy", OTHER).value == 100
    assert len(refused) == 100
    assert len(family.samples()) == 3


def test_a_limit_leaves_room_for_some_strangers() -> None:
    """So many values beyond the declared ones have series of their own, and no more."""
    family = gauges(entry(MetricType.GAUGE, "symbol"), declared={"symbol": ["A"]}, limit=2)
    for symbol in ("B", "C", "D", "B", "E", "A"):
        family.labels(symbol).inc()
    found = {s.labels["symbol"]: s.value for s in family.samples()}
    assert found == {"A": 1, "B": 2, "C": 1, OTHER: 2}
    assert family.has("B")
    assert not family.has("D")


def test_a_text_of_megabytes_is_no_series() -> None:
    """Whatever room there is; what the author declared may be as long as it likes."""
    declared = "d" * (LONGEST + 1)
    family = gauges(entry(MetricType.GAUGE, "symbol"), declared={"symbol": [declared]}, limit=9)
    for symbol in ("x" * LONGEST, "x" * (LONGEST + 1), "x" * 10_000_000, declared):
        family.labels(symbol).inc()
    found = {s.labels["symbol"]: s.value for s in family.samples()}
    assert found == {declared: 1, "x" * LONGEST: 1, OTHER: 2}


def test_other_is_counted_by_metric() -> None:
    """The series of undeclared values tells which metric met them, and how often."""
    registry = CollectorRegistry()
    metrics = BotMetrics(registry, version="1", mode="paper", symbols=["A"], undeclared=1)
    for symbol in ("A", "B", "C", "D"):
        metrics.tick(symbol, at=1.0)
    messages = "trading_market_data_messages_total"
    assert registry.get_sample_value(messages, {"symbol": "B"}) == 1
    assert registry.get_sample_value(messages, {"symbol": OTHER}) == 2
    assert registry.get_sample_value(UNDECLARED, {"metric": messages}) == 2
    assert registry.get_sample_value(UNDECLARED, {"metric": "trading_orders_total"}) == 0


@pytest.mark.parametrize("values", [(), ("a",), ("a", "b", "c")])
def test_a_wrong_number_of_label_values_is_refused(values: tuple[str, ...]) -> None:
    """Mistakes in code show at once."""
    family = counters(entry(MetricType.COUNTER, "side", "venue"))
    with pytest.raises(ValueError, match="2 label values"):
        family.labels(*values)


def test_values_for_an_unknown_label_are_refused() -> None:
    """A misspelt label in a declaration shows at once."""
    with pytest.raises(ValueError, match="unknown labels: syde"):
        counters(entry(MetricType.COUNTER, "side"), declared={"syde": ["buy"]})


def test_threads_that_ask_for_the_same_child_get_the_same() -> None:
    """Creation is guarded, although counting is not."""
    family = counters(entry(MetricType.COUNTER, "symbol"), limit=100)
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for number in range(100):
            family.labels(str(number)).inc()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sample.value for sample in family.samples()] == [8] * 100


def test_a_wrong_kind_is_refused() -> None:
    """A gauge of a counter's entry is a mistake that shows at once."""
    with pytest.raises(ValueError, match="is a counter"):
        Recorder(CollectorRegistry()).gauge("trading_orders_total")


def test_two_bots_in_one_registry_clash() -> None:
    """As with prometheus_client's own families, a name can be registered once."""
    registry = CollectorRegistry()
    BotMetrics(registry, version="1", mode="paper")
    with pytest.raises(ValueError, match="Duplicated"):
        BotMetrics(registry, version="1", mode="paper")
    with pytest.raises(ValueError, match="Duplicated"):
        Gauge("trading_open_orders", "Mine.", registry=registry)


def test_bots_in_registries_of_their_own_do_not_meet() -> None:
    """Several bots in one process have a registry each."""
    first, other = (BotMetrics(CollectorRegistry(), version="1", mode="paper") for _ in range(2))
    first.nonce_issued()
    assert first.registry.get_sample_value("trading_nonces_issued_total") == 1
    assert other.registry.get_sample_value("trading_nonces_issued_total") == 0


def test_a_collected_family_is_a_snapshot() -> None:
    """Samples are read when they are first asked for, and stay; the family can be compared."""
    counter = counters(entry(MetricType.COUNTER))
    (before,) = counter.collect()
    assert [sample.value for sample in before.samples] == [0]
    counter.labels().inc()
    (after,) = counter.collect()
    assert [sample.value for sample in before.samples] == [0]
    assert [sample.value for sample in after.samples] == [1]
    assert before != after
    assert not hasattr(before, "nothing")


def test_a_registry_restricted_to_some_of_the_names_gives_those() -> None:
    """prometheus_client's own way to a part of a registry works for a part of a family too."""
    registry = registry_of(
        histograms(entry(MetricType.HISTOGRAM)),
        counters(entry(MetricType.COUNTER)),
        gauges(entry(MetricType.GAUGE)),
    )
    text = generate_latest(registry.restricted_registry(["wait_seconds_sum", "level"])).decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert sorted(lines) == ["level 0.0", "wait_seconds_sum 0.0"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1.0"),
        (True, "1.0"),
        (0.1, "0.1"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
        ("2.5", "2.5"),
        (None, "NaN"),
        ("much", "NaN"),
        (10**400, "NaN"),
    ],
)
def test_whatever_is_put_into_a_gauge_the_scrape_goes_on(value: object, text: str) -> None:
    """A value that is not a number is NaN, in the direct exposition and through the registry."""
    assert text_of(value) == text
    family = gauges(entry(MetricType.GAUGE, "kind"), declared={"kind": ["good", "strange"]})
    family.labels("good").value = 7
    family.labels("strange").value = value  # type: ignore[assignment]  # that is the point
    registry = registry_of(family)
    body = Exposition(registry).everything()[0].decode()
    assert float(body.split('kind="strange"} ')[1]) == pytest.approx(float(text), nan_ok=True)
    assert 'level{kind="good"} 7' in body
    assert f'level{{kind="strange"}} {text}'.encode() in generate_latest(registry)


def test_half_a_surrogate_pair_does_not_break_the_scrape() -> None:
    """JSON can carry what UTF-8 cannot; such a label value is made harmless when it comes."""
    family = counters(entry(MetricType.COUNTER, "code"), limit=5)
    family.labels("\ud83d").inc_for("\ude00")
    exposition = Exposition(registry_of(family))
    assert b'things_total{code="?"} 1\n' in exposition.everything()[0]
    assert b'# {order_id="?"} 1.0' in exposition.everything(OPENMETRICS)[0]
    assert clean(5) == "5"


def test_no_gil_is_refused() -> None:
    """Where counts could be lost, no one is left to believe that they are not."""
    require_gil(enabled=True)
    with pytest.raises(RuntimeError, match="PYTHON_GIL=1"):
        require_gil(enabled=False)


def test_an_exemplar_beyond_the_specification_is_left_out() -> None:
    """OpenMetrics allows 128 characters; an event is not lost for a long id."""
    family = counters(entry(MetricType.COUNTER))
    family.labels().inc_for("x" * 120)
    registry = registry_of(family)
    for body in (Exposition(registry).everything(OPENMETRICS)[0], openmetrics_of(registry)):
        assert b'# {order_id="xxx' in body
    family.labels().inc_for("x" * 121)
    for body in (Exposition(registry).everything(OPENMETRICS)[0], openmetrics_of(registry)):
        assert b"things_total 2" in body
        assert b"order_id" not in body


def openmetrics_of(registry: CollectorRegistry) -> bytes:
    """Return what prometheus_client makes of our collectors."""
    return choose_encoder(OPENMETRICS)[0](registry)


@pytest.mark.parametrize("wrong", [{"name": "Things"}, {"labels": ("a-b",)}, {"labels": ("le",)}])
def test_a_name_that_some_format_would_change_is_refused(wrong: dict[str, Any]) -> None:
    """Names need no escaping, whatever a scraper asks for."""
    with pytest.raises(ValueError, match="snake case"):
        Metric(
            **{"name": "a", "kind": MetricType.GAUGE, "owner": Owner.BOT, "help": "A.", "why": "B."}
            | wrong
        )


def test_gauges_have_no_exemplars() -> None:
    """OpenMetrics has no place for them."""
    with pytest.raises(ValueError, match="only counters and histograms"):
        Metric(
            name="a",
            kind=MetricType.GAUGE,
            owner=Owner.BOT,
            help="A.",
            why="B.",
            exemplar="order_id",
        )
