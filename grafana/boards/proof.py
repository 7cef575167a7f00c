"""Runs every query of every board on a real Prometheus: an empty panel is an error.

A query has data if at least one series has at least one value in the time range; NaN is not a
value, since Grafana does not draw it.
"""

import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana.boards.queries import BoardQuery, panels_of

WAITED = "No decision to wait was made."
LEGITIMATELY_EMPTY: Mapping[str, str] = {
    "1 Trading overview / Blocked actions by reason": WAITED,
    "5 Reconciler and incidents / Blocked actions by reason": WAITED,
    "5 Reconciler and incidents / Time to the next sign-off": "No bot is in a live stage.",
    "5 Reconciler and incidents / Age of the last success": "No job has run yet.",
    "5 Reconciler and incidents / Duration of the last run": "No job has run yet.",
    "5 Reconciler and incidents / Time until certificates expire": "The lab has no TLS.",
    "6 Objectives and error budgets / Budget left in a week": "It needs three hours of history.",
}
"""Panels that may show nothing on a healthy system, by `board / panel`, with the reason."""

NOT_ON_EVERY_SERVER: Mapping[str, str] = {
    "offset 30m": "A forecast needs half an hour of history.",
    "trading_postgresql_index_bloat_ratio": "The server has a large index.",
    "trading_postgresql_index_growth_ratio": "The server has a large index.",
    "trading_postgresql_index_invalid": "An index is invalid.",
    "trading_postgresql_index_scans_total": "The server has a large index.",
    "trading_postgresql_index_size_bytes": "The server has a large index.",
    "trading_postgresql_replication_lag_bytes": "The server has a replica.",
    "trading_postgresql_replication_lag_seconds": "The server has a replica.",
    "trading_postgresql_standby_lag_seconds": "The server is a standby.",
    "trading_postgresql_standby_receiving": "The server is a standby.",
    "trading_postgresql_stats_reset_timestamp_seconds": "Its statistics were reset once.",
    "trading_postgresql_table_last_analyze_timestamp_seconds": "A table was analyzed.",
    "trading_postgresql_table_last_vacuum_timestamp_seconds": "A table was vacuumed.",
}
"""Metrics of a PostgreSQL server, and forecasts, that are there only if something holds."""

CAUSES: Mapping[str, str] = {
    'ALERTS{alertstate="firing"': 'ALERTS{alertstate="firing",severity=~"critical|emergency"}',
    "trading_ops_decision": "increase(trading_ops_decisions_total[1m]) > 0",
    "trading_ops_attempts_total": "increase(trading_ops_attempts_total[1m]) > 0",
    "trading_ops_action_start_latency": (
        "increase(trading_ops_action_start_latency_seconds_count[1m]) > 0"
    ),
    "trading_ops_recovery_duration": (
        "increase(trading_ops_recovery_duration_seconds_count[1m]) > 0"
    ),
    "changes(trading_bot_start": "changes(trading_bot_start_timestamp_seconds[1m]) > 0",
    'trading_state{state!="active"': 'trading_state{state!="active"} == 1',
    "trading_ops_maintenance_active": "trading_ops_maintenance_active == 1",
    "trading_ops_maintenance_end": "trading_ops_maintenance_active == 1",
    "trading_ops_maintenance_holds_left": "trading_ops_maintenance_holds_left > 0",
}
"""What must have happened in the time range for a query with this text to show data."""

OF_POSTGRESQL = re.compile(r"\btrading_(?!postgresql_)|\bup\b|ALERTS|slo:")
"""Names in every query that is not only about PostgreSQL servers."""

SERVERS = "trading_postgresql_up"
TIMEOUT_SECONDS = 20.0
POINTS = 1200


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Prometheus' answer to one query."""

    query: BoardQuery
    series: int
    """Series with at least one value."""

    error: str = ""
    skipped: bool = False
    """It is about PostgreSQL servers, and none is monitored."""

    early: bool = False
    """It is about something that has not happened in the time range; see `CAUSES`."""

    @property
    def missing(self) -> bool:
        """Return whether its panel is empty and must not be."""
        excused = (
            self.skipped
            or self.early
            or self.query.title in LEGITIMATELY_EMPTY
            or any(name in self.query.expr for name in NOT_ON_EVERY_SERVER)
        )
        return bool(self.error) or (not self.series and not excused)

    def __str__(self) -> str:
        """Return what is wrong."""
        return f"{self.query.title}: {self.error or 'no figure'}: {self.query.expr}"


def ask_all(url: str, queries: Sequence[BoardQuery], *, end: float, seconds: float) -> list[Answer]:
    """Run queries on the Prometheus at a URL, over the seconds before `end` (since the epoch).

    Raises:
        OSError: it does not answer.
    """
    watched, error = _ask(url, SERVERS, end, seconds)
    if error:
        raise OSError(f"{url}: {error}")
    answers = []
    known: dict[str, tuple[int, str]] = {}

    def ask(expr: str) -> tuple[int, str]:
        if expr not in known:
            known[expr] = _ask(url, expr, end, seconds)
        return known[expr]

    for query in queries:
        if not watched and only_postgresql(query.expr):
            answers.append(Answer(query=query, series=0, skipped=True))
            continue
        series, error = ask(query.expr)
        causes = (cause for text, cause in CAUSES.items() if text in query.expr)
        early = not series and any(not ask(cause)[0] for cause in causes)
        answers.append(Answer(query=query, series=series, error=error, early=early))
    return answers


def count_panels(boards: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return the number of panels of each board, by its title."""
    return {
        board["title"]: sum(panel["type"] != "row" for panel in panels_of(board))
        for board in boards
    }


def table(answers: Sequence[Answer], panels: Mapping[str, int]) -> str:
    """Return a line for each board: panels, queries asked, series returned, what was left out."""
    written = [f"{'board':28} {'panels':>6} {'queries':>7} {'series':>7}"]
    totals = [0, 0, 0]
    for board, count in panels.items():
        of_board = [answer for answer in answers if answer.query.board == board]
        asked = [answer for answer in of_board if not answer.skipped]
        figures = [count, len(asked), sum(answer.series for answer in asked)]
        totals = [total + figure for total, figure in zip(totals, figures, strict=True)]
        left, early = len(of_board) - len(asked), sum(answer.early for answer in asked)
        note = f"  ({left} more ask for PostgreSQL, and no server is watched)" if left else ""
        if early:
            note += f"  ({early} ask for what has not happened)"
        written.append(f"{board:28} {figures[0]:6} {figures[1]:7} {figures[2]:7}{note}")
    written.append(f"{'all':28} {totals[0]:6} {totals[1]:7} {totals[2]:7}")
    return "\n".join(written)


def only_postgresql(expr: str) -> bool:
    """Return whether a query is only about PostgreSQL servers."""
    return SERVERS.removesuffix("up") in expr and not OF_POSTGRESQL.search(expr)


def _ask(url: str, expr: str, end: float, seconds: float) -> tuple[int, str]:
    """Return the number of series with a value, and the error if there was one."""
    fields = {
        "query": expr,
        "start": end - seconds,
        "end": end,
        "step": max(1.0, seconds / POINTS),
    }
    body = urllib.parse.urlencode(fields).encode()
    request = urllib.request.Request(f"{url}/api/v1/query_range", data=body)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        return 0, json.load(error).get("error", str(error))
    return sum(_has_a_figure(series["values"]) for series in answer["data"]["result"]), ""


def _has_a_figure(values: Sequence[Sequence[Any]]) -> bool:
    return any(not math.isnan(float(value)) for _, value in values)
