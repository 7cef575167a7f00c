"""The definition of a metric; families, checks of rules and documentation derive from it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

# Valid before Prometheus 3, and needs no escaping in any format.
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class MetricType(StrEnum):
    """The Prometheus type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Owner(StrEnum):
    """Which of our processes exports a metric."""

    BOT = "bot"
    EXPORTER = "exporter"
    RECONCILER = "reconciler"
    NODE = "node"
    """A node, and the local stack's supervisor."""

    PROCESS = "process"
    """Every process, through the process collector of prometheus_client."""

    WATCHERS = "watchers"
    """A bot, through its active watchers."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric family.

    The labels `bot`, `venue`, `job` and `instance` are not here: they are target labels, which
    Prometheus adds. (The exporter's venue metrics are the exception, since one exporter watches
    several venues.)
    """

    name: str
    """The name in PromQL: a counter with `_total`, a histogram without a suffix."""

    kind: MetricType
    owner: Owner
    unit: str = ""
    """Base unit of the value; empty for plain numbers and states."""

    labels: tuple[str, ...] = ()
    help: str
    """The HELP text: one sentence on what the value is."""

    why: str
    """One sentence: what a bad value means."""

    vital: bool = False
    """True: also exported under /metrics/vital, for rules that cannot wait 15 s."""

    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, in its unit, without infinity."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Label values that are known in advance, by label name."""

    exemplar: str = ""
    """Label of the exemplars in OpenMetrics, for example `order_id`."""

    def __post_init__(self) -> None:
        """Reject a definition that cannot be exported."""
        if not all(map(_NAME.fullmatch, (self.name, *self.labels))) or "le" in self.labels:
            raise ValueError(f"{self.name}: names are snake case, and le is the buckets'")
        if self.exemplar and (self.kind is MetricType.GAUGE or not _NAME.fullmatch(self.exemplar)):
            raise ValueError(f"{self.name}: only counters and histograms have exemplars")
        if (self.kind is MetricType.COUNTER) != self.name.endswith("_total"):
            raise ValueError(f"{self.name}: counters, and only they, end in _total")
        if (self.kind is MetricType.HISTOGRAM) != bool(self.buckets):
            raise ValueError(f"{self.name}: histograms, and only they, have buckets")
        if unknown := set(self.values) - set(self.labels):
            raise ValueError(f"{self.name}: values for unknown labels: {unknown}")

    @property
    def sample_names(self) -> tuple[str, ...]:
        """Return the sample names for PromQL."""
        if self.kind is MetricType.HISTOGRAM:
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)

    @property
    def family(self) -> str:
        """Return the family name in prometheus_client, without `_total`."""
        return self.name.removesuffix("_total")


# The bounds cover a loopback venue, a near and a far exchange, up to our own timeouts.
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

bot_gauge = partial(Metric, kind=MetricType.GAUGE, owner=Owner.BOT)
bot_counter = partial(Metric, kind=MetricType.COUNTER, owner=Owner.BOT)
bot_histogram = partial(
    Metric, kind=MetricType.HISTOGRAM, owner=Owner.BOT, unit="seconds", buckets=LATENCY_BUCKETS
)

exporter_gauge = partial(Metric, kind=MetricType.GAUGE, owner=Owner.EXPORTER)
exporter_counter = partial(Metric, kind=MetricType.COUNTER, owner=Owner.EXPORTER)
