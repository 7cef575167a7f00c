"""Whatever is recorded, our lines say what prometheus_client's would say."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import prometheus_client as peer
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from trading_ops.instrument import BotMetrics, Exposition, Metric, MetricType, Owner
from trading_ops.instrument.exposition import VITAL_FAMILIES, VITAL_SAMPLES, One, Sorted, Without
from trading_ops.instrument.recorder import counters, gauges, histograms

FORMATS = (
    "",
    "text/plain; version=1.0.0; escaping=allow-utf-8",
    "application/openmetrics-text; version=1.0.0; escaping=underscores",
)

# Everything that UTF-8 can carry; the evil ones often.
hostile = st.one_of(
    st.sampled_from(
        ["", "%", "%s", "%%d", '"', "\\", "\n", "\\n", '\\"', "} 1", "a\rb", "{", "💥"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
amounts = st.one_of(st.integers(0, 2**60), st.floats(0, allow_nan=False))
numbers = st.one_of(st.integers(-(2**60), 2**60), st.floats())
observations = st.one_of(st.floats(allow_nan=False), st.sampled_from([0.0, 0.5, 1.0, -0.0]))
bounds = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=6, unique=True).map(sorted)


@dataclass(frozen=True)
class Event:
    """Something that is recorded: in which of the three families, for which labels, and what."""

    kind: MetricType
    labels: tuple[str, str]
    value: float
    order: str


def events() -> st.SearchStrategy[list[Event]]:
    labels = st.tuples(hostile, hostile)
    order = st.one_of(st.just(""), hostile)
    event = st.one_of(
        st.builds(Event, st.just(MetricType.COUNTER), labels, amounts, order),
        st.builds(Event, st.just(MetricType.GAUGE), labels, numbers, order),
        st.builds(Event, st.just(MetricType.HISTOGRAM), labels, observations, order),
    )
    return st.lists(event, max_size=30)


NAMES = {
    MetricType.COUNTER: "things_total",
    MetricType.GAUGE: "level",
    MetricType.HISTOGRAM: "wait_seconds",
}
LABELS = ("venue", "code")


class Plain(Collector):
    """The families of a registry without the peer's creation times."""

    def __init__(self, registry: peer.CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Family]:
        for family in self._registry.collect():
            yield from One(family).collect()


class Ours:
    """Our recorder's three families."""

    def __init__(self, help_text: str, buckets: Sequence[float]) -> None:
        def entry(kind: MetricType) -> Metric:
            return Metric(
                name=NAMES[kind],
                kind=kind,
                owner=Owner.BOT,
                labels=LABELS,
                help=help_text,
                why="A test.",
                buckets=tuple(buckets) if kind is MetricType.HISTOGRAM else (),
                exemplar="" if kind is MetricType.GAUGE else "order_id",
            )

        self.counter = counters(entry(MetricType.COUNTER), limit=100)
        self.gauge = gauges(entry(MetricType.GAUGE), limit=100)
        self.histogram = histograms(entry(MetricType.HISTOGRAM), limit=100)
        self.registry = CollectorRegistry()
        for family in (self.counter, self.gauge, self.histogram):
            self.registry.register(family)

    def record(self, event: Event) -> None:
        match event.kind:
            case MetricType.COUNTER if event.order:
                self.counter.labels(*event.labels).inc_for(event.order)
            case MetricType.COUNTER:
                self.counter.labels(*event.labels).inc(event.value)
            case MetricType.GAUGE:
                self.gauge.labels(*event.labels).set(event.value)
            case MetricType.HISTOGRAM if event.order:
                self.histogram.labels(*event.labels).observe_for(event.value, event.order)
            case MetricType.HISTOGRAM:
                self.histogram.labels(*event.labels).observe(event.value)


class Theirs:
    """prometheus_client's."""

    def __init__(self, help_text: str, buckets: Sequence[float]) -> None:
        self.registry = CollectorRegistry()
        self.counter = peer.Counter(
            NAMES[MetricType.COUNTER], help_text, LABELS, registry=self.registry
        )
        self.gauge = peer.Gauge(NAMES[MetricType.GAUGE], help_text, LABELS, registry=self.registry)
        self.histogram = peer.Histogram(
            NAMES[MetricType.HISTOGRAM], help_text, LABELS, buckets=buckets, registry=self.registry
        )

    def record(self, event: Event) -> None:
        exemplar = {"order_id": event.order} if event.order else None
        match event.kind:
            case MetricType.COUNTER:
                amount = 1 if event.order else event.value
                self.counter.labels(*event.labels).inc(amount, exemplar)
            case MetricType.GAUGE:
                self.gauge.labels(*event.labels).set(event.value)
            case MetricType.HISTOGRAM:
                self.histogram.labels(*event.labels).observe(event.value, exemplar)


def lines_of(body: bytes) -> list[tuple[str, ...]]:
    """Return the lines, numbers as Python writes them and the times of exemplars left out."""
    return [_line(line) for line in body.decode().removesuffix("\n").split("\n")]


def _line(line: str) -> tuple[str, ...]:
    if line.startswith("#"):
        return (line,)
    # Labels may contain what separates the rest, so the numbers are taken from the end.
    head, *exemplar = line.rsplit(' # {order_id="', 1)
    if exemplar:
        order_id, value, _time = exemplar[0].rsplit(" ", 2)
        return (*_line(head), order_id, repr(float(value)))
    labels, number = head.rsplit(" ", 1)
    return labels, repr(float(number))


def parsed(body: bytes, content_type: str) -> list[object]:
    """Return what the peer's parser finds; values as text, for NaN is not even equal to itself."""
    text = body.decode()
    openmetrics = content_type.startswith("application/openmetrics")
    parse = parse_openmetrics if openmetrics else parse_text
    try:
        found = list(parse(text))
    except ValueError as error:  # its parsers do not take all that it writes itself
        return [type(error)]
    return [
        (f.name, f.type, f.documentation, [one_of(sample) for sample in f.samples]) for f in found
    ]


def one_of(sample: Sample) -> tuple[object, ...]:
    """Return a sample without the time of its exemplar."""
    exemplar = sample.exemplar and (sample.exemplar.labels, sample.exemplar.value)
    return sample.name, sample.labels, repr(float(sample.value)), exemplar


@settings(max_examples=50, deadline=None)
@given(help_text=hostile, buckets=bounds, first=events(), then=events())
def test_the_lines_are_the_peers(
    help_text: str, buckets: list[float], first: list[Event], then: list[Event]
) -> None:
    """Same events, same lines in both formats; also after more events, on templates made before."""
    ours, theirs = Ours(help_text, buckets), Theirs(help_text, buckets)
    exposition = Exposition(ours.registry)
    for batch in (first, then):
        for event in batch:
            ours.record(event)
            theirs.record(event)
        for accept in FORMATS:
            body, content_type = exposition.everything(accept)
            encode, wanted_type = choose_encoder(accept)
            wanted = encode(Plain(theirs.registry))
            assert content_type == wanted_type
            assert lines_of(body) == lines_of(wanted)
            # What is quiet keeps its text, from the second scrape on.
            assert exposition.everything(accept)[0] == exposition.everything(accept)[0] == body
            # What prometheus_client makes of our collectors itself is the same as well.
            assert lines_of(encode(ours.registry)) == lines_of(wanted)


@settings(max_examples=30, deadline=None)
@given(batches=st.lists(events(), min_size=2, max_size=5), accept=st.sampled_from(FORMATS[:3]))
def test_a_kept_text_is_never_an_old_one(batches: list[list[Event]], accept: str) -> None:
    """Between scrapes of one format that keep what was quiet, whatever is recorded shows."""
    ours, theirs = Ours("A.", [1.0]), Theirs("A.", [1.0])
    exposition = Exposition(ours.registry)
    for batch in batches:
        for event in batch:
            for _ in range(3):
                exposition.everything(accept)
            ours.record(event)
            theirs.record(event)
            assert lines_of(exposition.everything(accept)[0]) == lines_of(
                choose_encoder(accept)[0](Plain(theirs.registry))
            )


@settings(max_examples=25, deadline=None)
@given(symbols=st.lists(hostile, max_size=4), price=numbers, order=st.text("AB-01", max_size=8))
def test_each_view_parses_as_the_peers_of_the_same_registry(
    symbols: list[str], price: float, order: str
) -> None:
    """Vital, the rest and everything of a bot are what the peer would write, and parse alike."""
    metrics = BotMetrics(CollectorRegistry(), version='1"\n', mode="paper", symbols=symbols)
    peer.Gauge("mine", "Of the author's own: % \\ \"", ["a"], registry=metrics.registry).labels(
        '%"\\\n'
    ).set(price)
    for symbol in (*symbols, "junk"):
        metrics.tick(symbol, at=1.0, latency_seconds=0.05, price=price)
    metrics.order_acknowledged(0.5, order_id=order)
    metrics.order_ended("filled", order_id=order)
    metrics.order_denied("trading_halted", order_id=order)
    exposition = Exposition(metrics.registry)
    vital = Sorted(metrics.registry.restricted_registry(VITAL_SAMPLES))
    views = (
        (exposition.everything, metrics.registry),
        (exposition.vital, vital),
        (exposition.without_vital, Without(metrics.registry, VITAL_FAMILIES)),
    )
    for accept in FORMATS[:3]:
        for view, source in views:
            body, content_type = view(accept)
            wanted = choose_encoder(accept)[0](source)
            assert lines_of(body) == lines_of(wanted)
            assert parsed(body, content_type) == parsed(wanted, content_type)


@given(st.lists(hostile, min_size=1, max_size=300))
def test_no_event_finds_another_series(values: Iterable[str]) -> None:
    """However many label values come, each event is in exactly one series."""
    family = counters(
        Metric(
            name="things_total",
            kind=MetricType.COUNTER,
            owner=Owner.BOT,
            labels=("code",),
            help="A.",
            why="B.",
        ),
        limit=20,
    )
    for value in values:
        family.labels(value).inc()
    samples = family.samples()
    assert sum(sample.value for sample in samples) == len(list(values))
    assert len(samples) <= 21
