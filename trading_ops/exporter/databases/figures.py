"""The samples of one source from one reading, by metric and label values."""

from collections.abc import Iterable, Mapping

from prometheus_client.metrics_core import Metric

from trading_ops.instrument.families import family

LONGEST_LABEL = 200


class LabelledSamples:
    """Samples of one source; the first label of each is the configured name."""

    def __init__(self, prefix: str, name: str) -> None:
        self._prefix = prefix
        self._name = name
        self._values: dict[str, dict[tuple[str, ...], float]] = {}

    def put(self, metric: str, value: float, *labels: str) -> None:
        """Set one value."""
        bounded = tuple(printable(label) for label in labels)
        self._values.setdefault(self._prefix + metric, {})[self._name, *bounded] = value

    def put_all(self, values: Mapping[str, float]) -> None:
        """Set values that have no label except the name."""
        for metric, value in values.items():
            self.put(metric, value)

    def families(self) -> Iterable[Metric]:
        """Yield a fresh family for each metric."""
        for metric, values in self._values.items():
            yield family(metric, values)


def printable(text: str) -> str:
    """Return a name from outside as a valid label value."""
    label = "".join(sign if sign.isprintable() else "?" for sign in text[-LONGEST_LABEL:])
    return label.encode("utf-8", "replace").decode()
