"""The exceptions that Grafana's dashboard-linter reads from `.lint`, derived from the queries.

Its rules require that each query selects by job and instance. Recorded series and ALERTS have the
labels of bots and venues instead: every panel with such a query is named, because the linter
accepts only exact matches.
"""

from collections.abc import Iterator, Sequence

from grafana.boards.board import Board
from grafana.boards.selectors import without_job

RULES = ("target-job-rule", "target-instance-rule")
REASON = "ALERTS and what rules record have no job and no instance: these are labels of scrapes."


def exceptions(boards: Sequence[Board]) -> str:
    """Return the text of `.lint`."""
    written = [
        "# Exceptions from the rules of dashboard-linter, for it and for tests/rules.",
        "# Written by `python -m grafana.boards`.",
        "exclusions:",
    ]
    for rule in RULES:
        written += [f"  {rule}:", f"    reason: '{REASON}'", "    entries:"]
        for board, panel in _without_job(boards):
            written += [f"      - dashboard: '{board}'", f"        panel: '{panel}'"]
    return "\n".join(written) + "\n"


def _without_job(boards: Sequence[Board]) -> Iterator[tuple[str, str]]:
    for board in boards:
        for row in board.rows:
            for panel in (panel for line in row.lines for panel in line):
                if any(without_job(query.expr) for query in panel.queries):
                    yield board.title, _quoted(panel.title)


def _quoted(title: str) -> str:
    return title.replace("'", "''")
