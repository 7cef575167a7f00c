"""The committed boards as their tests read them."""

import re
from typing import Any

from grafana.boards.queries import DASHBOARDS, load_boards, panels_of
from tests.rules.configuration import read_yaml

Board = dict[str, Any]
Panel = dict[str, Any]

BOARDS: list[Board] = load_boards()
PANELS: list[tuple[Board, Panel]] = [
    (board, panel) for board in BOARDS for panel in panels_of(board) if panel["type"] != "row"
]
TARGETS: list[tuple[Board, Panel, dict[str, Any]]] = [
    (board, panel, target) for board, panel in PANELS for target in panel.get("targets") or ()
]
EXCLUSIONS: dict[str, Any] = read_yaml(DASHBOARDS / ".lint")["exclusions"]


def excused(rule: str, board: Board, panel: Panel) -> bool:
    """Tell whether `.lint` makes an exception, which names board and panel."""
    entry = {"dashboard": board["title"], "panel": panel["title"]}
    return entry in EXCLUSIONS.get(f"{rule}-rule", {}).get("entries", ())


def links_of(panel: Panel) -> list[str]:
    """Return the addresses to which a panel and its description lead."""
    described = re.findall(r"\]\(([^)]+)\)", panel["description"])
    return [*(link["url"] for link in panel.get("links") or ()), *described]


def where(board: Board, panel: Panel) -> str:
    """Name a panel in a failure's message."""
    return f"{board['title']} / {panel['title']}"
