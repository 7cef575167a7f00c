"""The documents as the tests read them."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.rules.configuration import ROOT
from trading_ops.instrument import CATALOGUE, catalogue
from trading_ops.instrument.documents import topics

DOCS = ROOT / "docs"
METRICS = DOCS / "metrics.md"
PAGES = sorted([*DOCS.rglob("*.md"), *(ROOT / "runbooks").glob("*.md"), ROOT / "README.md"])
_NAME = re.compile(r"(?<![\w/.-])((?:trading|process)_[a-z0-9_]*[a-z0-9])(?![\w/(-])(?!\.\w)")
_OTHERS = frozenset(
    {
        *("trading_ops", "trading_ops_lab"),  # packages; the first is a database and a role too
        *("trading_ops_owner", "trading_ops_backup"),  # roles
        "trading_sessions",  # a job
        *(topic.name for topic in topics()),
        *(value for metric in CATALOGUE for values in metric.values.values() for value in values),
    }
)
"""Words of the same form that are none."""

_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def metric_names_in(text: str) -> set[str]:
    """Return what a document names as a metric: our prefixes, and no path, module or call."""
    return set(_NAME.findall(text)) - _OTHERS


def unknown_metrics(text: str) -> set[str]:
    """Return the metrics that a document names, and that no process exports."""
    return metric_names_in(text) - catalogue.sample_names() - {metric.name for metric in CATALOGUE}


def blocks(page: Path, language: str) -> Iterator[str]:
    """Yield the fenced blocks of one language."""
    for found, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if found == language:
            yield text
