"""The queries of the committed boards, ready to be run: variables are replaced by what “All” means.

It reads the JSON and needs no Grafana and no SDK, so that every query can run on a real Prometheus.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

DASHBOARDS = Path(__file__).resolve().parents[1] / "dashboards"
VARIABLES: Mapping[str, str] = {
    "__rate_interval": "1m",
    "__interval": "15s",
    "__range": "30m",
    "job": ".+",
    "instance": ".+",
    "team": ".*",
    "host": ".*",
    "bot": ".*",
    "bots": ".*",
    "venue": ".*",
}
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_LABEL_VALUES = re.compile(r"label_values\((.+), *\w+\)")


class BoardQuery(NamedTuple):
    """One query of a board."""

    board: str
    panel: str
    """Its panel's title; for an annotation or a variable, its name."""

    expr: str
    """PromQL without variables."""

    @property
    def title(self) -> str:
        """Return its name for an operator: `board / panel`."""
        return f"{self.board} / {self.panel}"


def load_boards(folder: Path = DASHBOARDS) -> list[dict[str, Any]]:
    """Read every board of a folder."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def board_queries(folder: Path = DASHBOARDS) -> list[BoardQuery]:
    """List every query of every board in a folder: panels, annotations and variables.

    Raises:
        KeyError: a query uses a variable that is not known here.
    """
    return [
        BoardQuery(board["title"], panel, fill_variables(expr))
        for board in load_boards(folder)
        for panel, expr in raw_queries(board)
    ]


def panels_of(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every panel of a board, including headings and the panels of collapsed rows."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels") or ()


def raw_queries(board: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the title and the query as written, of each query of one board."""
    for panel in panels_of(board):
        for target in panel.get("targets") or ():
            yield panel["title"], target["expr"]
    for annotation in board["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
            if found is None:
                raise ValueError(f"variable {variable['name']}: no label_values(query, label)")
            yield variable["name"], found.group(1)


def fill_variables(expr: str) -> str:
    """Replace Grafana's variables by their values for “All”."""
    return _VARIABLE.sub(lambda found: VARIABLES[found.group(1)], expr)
