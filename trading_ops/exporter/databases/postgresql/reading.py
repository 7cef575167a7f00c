"""A reading: one query, and the mapping of its rows to metrics."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from trading_ops.exporter.databases.figures import LabelledSamples

Row = dict[str, Any]
LABEL = "label_"


@dataclass(frozen=True, kw_only=True)
class MetricQuery:
    """Every column of a row is a metric of that name; columns that start with `label_` are labels.

    NULL columns are not exported.
    """

    name: str
    """The value of the label `reading` of the metric for missing readings."""

    query: str
    privileged: bool = False
    """True: without pg_read_all_stats the server omits other users' values."""

    since: int = 0
    """The first major version of the server that supports the query."""

    until: int = 1_000
    """The first major version that no longer supports it."""

    parameters: dict[str, Any] = field(default_factory=dict)
    refine: Callable[[Iterable[Row]], Iterable[Row]] = lambda rows: rows
    """Computes columns that would be unreadable in SQL."""

    def fits(self, version: int) -> bool:
        """Return whether a server of this version, such as 150020, supports it."""
        return self.since <= version // 10_000 < self.until


def put(figures: LabelledSamples, rows: Iterable[Row]) -> None:
    """Add the samples of some rows."""
    for row in rows:
        labels = [str(value) for column, value in row.items() if column.startswith(LABEL)]
        for column, value in row.items():
            if value is not None and not column.startswith(LABEL):
                figures.put(column, float(value), *labels)
