"""Positions of panels in Grafana's grid of 24 columns, from the top and without gaps."""

from collections.abc import Iterator, Sequence

from grafana.boards.looks import build_panel
from grafana.boards.panels import Panel, Row
from grafana.boards.sdk import dashboard, dashboard_builder

COLUMNS = 24


def add_rows(board: dashboard_builder.Dashboard, rows: Sequence[Row]) -> None:
    """Place all rows on the board.

    Raises:
        ValueError: a line of panels does not fill the 24 columns with one height.
    """
    number, top = 1, 0
    for row in rows:
        heading = dashboard_builder.Row(row.title).id(number).collapsed(collapsed=row.collapsed)
        into = heading if row.collapsed else board
        if row.title:
            heading.grid_pos(dashboard.GridPos(x=0, y=top, w=COLUMNS, h=1))
            board.with_row(heading)
            number, top = number + 1, top + 1
        for line in row.lines:
            left = 0
            for panel, width in _widths(line):
                place = dashboard.GridPos(x=left, y=top, w=width, h=line[0].height)
                into.with_panel(build_panel(panel, number, place, opens=row.opens))
                number, left = number + 1, left + width
            top += line[0].height


def _widths(line: Sequence[Panel]) -> Iterator[tuple[Panel, int]]:
    """Yield each panel of a line with its columns."""
    sharing = [panel for panel in line if not panel.width]
    rest = COLUMNS - sum(panel.width for panel in line)
    names = ", ".join(panel.title for panel in line)
    if len({panel.height for panel in line}) != 1:
        raise ValueError(f"the panels of one line differ in height: {names}")
    if rest % max(len(sharing), 1) or (rest and not sharing) or rest < 0:
        raise ValueError(f"these panels cannot share {rest} columns: {names}")
    for panel in line:
        yield panel, panel.width or rest // len(sharing)
