"""Figures as a source keeps them between two readings: values by label values by metric."""

from collections.abc import Iterable, Mapping

from prometheus_client.metrics_core import Metric

from trading_ops.exporter.families import family

LONGEST_LABEL = 200


class Figures:
    """Values of one source; every one has the configured name as its first label."""

    def __init__(self, prefix: str, name: str) -> None:
        """Use this prefix of metric names, and this value of the first label."""
        self._prefix = prefix
        self._name = name
        self._values: dict[str, dict[tuple[str, ...], float]] = {}

    def put(self, metric: str, value: float, *labels: str) -> None:
        """Set one value."""
        bounded = tuple(printable(label) for label in labels)
        self._values.setdefault(self._prefix + metric, {})[self._name, *bounded] = value

    def put_all(self, values: Mapping[str, float]) -> None:
        """Set values that have no label but the name."""
        for metric, value in values.items():
            self.put(metric, value)

    def families(self) -> Iterable[Metric]:
        """Yield a fresh family for each metric."""
        for metric, values in self._values.items():
            yield family(metric, values)


def printable(text: str) -> str:
    """Return a valid label value for a name from outside."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in text[-LONGEST_LABEL:])
    return shown.encode("utf-8", "replace").decode()
