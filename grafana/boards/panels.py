"""Panels as plain data: the content of a dashboard without Grafana's details.

The functions below each return a `Panel`. Queries are a mapping of legend to PromQL; `selectors`
adds the dashboard's variables to them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

GREEN, YELLOW, RED, BLUE, PURPLE = "green", "yellow", "red", "blue", "purple"
"""Healthy, warning, critical; neither; no data."""

PER_SECOND, PER_MINUTE = "suffix:/s", "suffix:/min"
"""Units of counts over time: Grafana's own are "c/s" and "c/m"."""

Limits = tuple[tuple[float | None, str], ...]
"""The color from a value up (None: from the bottom)."""

States = tuple[tuple[str, str, str], ...]
"""For states: value, text, color."""

Absent = tuple[str, str]
"""What a figure without data shows: text and color."""

UNKNOWN: Absent = ("unknown", PURPLE)
"""No data is a fault until the opposite is known, so it is never green."""

NONE: Absent = ("none", BLUE)
"""For a mean or a quantile of events, of which there may be none."""

PLAIN: Limits = ((None, GREEN),)
"""A value without thresholds."""

UP: States = (("0", "down", RED), ("1", "up", GREEN))


def above(*values: float) -> Limits:
    """Return the limits of what is bad when it is large: yellow from one on, red from the next.

    With one value it is red from there on.
    """
    *warnings, bad = values
    return ((None, GREEN), *((value, YELLOW) for value in warnings), (bad, RED))


def below(*values: float) -> Limits:
    """Return the limits of what is bad when it is small: red, yellow from one, green from the next.

    With one value it is green from there on.
    """
    *warnings, good = values
    return ((None, RED), *((value, YELLOW) for value in warnings), (good, GREEN))


def apart(value: float) -> Limits:
    """Return the limits of what should be near zero, on either side."""
    return ((None, RED), (-value, GREEN), (value, RED))


class Look(StrEnum):
    """How a panel shows its values."""

    STAT = "stat"
    LINES = "timeseries"
    STEPS = "stepped"
    """Lines without slopes: for states and counts."""

    BARS = "bars"
    """For occasional events: a single value is visible too."""

    STACK = "stacked"
    """Lines on top of each other: for parts of a whole."""

    TIMELINE = "state-timeline"
    TABLE = "table"
    ALERTS = "alertlist"
    """Firing alerts, from Grafana's alerting instead of a query of ours."""


class Axis(StrEnum):
    """Range of the vertical axis of a graph."""

    ZERO = "zero"
    """Always includes zero, for values that are compared with zero or a limit."""

    FREE = "free"
    """Only the values: for large values whose change matters."""

    SIGNED = "signed"
    """Always includes zero, on either side: profit and loss."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """One PromQL query; `legend` is Grafana's template of a series' name, or a column's title."""

    expr: str
    legend: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """How one column of a table is shown; its query has the same title."""

    unit: str
    limits: Limits = PLAIN
    states: States = ()
    decimals: int | None = None


@dataclass(frozen=True, kw_only=True)
class Link:
    """One link of a panel or of its values."""

    title: str
    url: str
    new_tab: bool = False


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel."""

    title: str
    description: str
    """What it shows, and what red means."""

    unit: str
    """Grafana's name of the unit: `s`, `percentunit`, `reqps`, `short`, …"""

    queries: tuple[Query, ...]
    thresholds: Limits
    look: Look
    width: int = 0
    """Columns of 24; 0 for an equal share of what the other panels of its line leave."""

    height: int = 7
    runbook: str = ""
    """The alerts whose runbooks are linked, separated by spaces."""

    states: States = ()
    decimals: int | None = None
    columns: Mapping[str, Column] | None = None
    """Columns of a table, by title."""

    value_links: tuple[Link, ...] = ()
    """Links of each value, which may use the labels of its series; in a table, of the column
    `linked`."""

    linked: str = ""
    worst_first: str = ""
    """The column by which a table is sorted, largest first."""

    absent: Absent = UNKNOWN
    """Of a figure."""

    colors: Mapping[str, str] | None = None
    """Fixed colors, by a regular expression of the series' name."""

    axis: Axis = Axis.ZERO


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row: a heading and its lines of panels; without a title there is no heading."""

    title: str
    lines: tuple[tuple[Panel, ...], ...]
    opens: str = ""
    """Uid of the board with more details, linked from each panel."""

    collapsed: bool = False
    """A collapsed row for optional panels. Only the last row of a dashboard."""


def row(title: str, *lines: Sequence[Panel], opens: str = "", collapsed: bool = False) -> Row:
    """Return a row: each line fills the width."""
    return Row(title=title, lines=tuple(map(tuple, lines)), opens=opens, collapsed=collapsed)


def lines(
    title: str,
    unit: str,
    queries: Mapping[str, str],
    description: str,
    *,
    limits: Limits = PLAIN,
    runbook: str = "",
    look: Look = Look.LINES,
    colors: Mapping[str, str] | None = None,
    axis: Axis = Axis.ZERO,
) -> Panel:
    """Return a panel of lines over time; `queries` are PromQL by legend."""
    return Panel(
        title=title,
        description=description,
        unit=unit,
        queries=_queries(queries),
        thresholds=limits,
        look=look,
        runbook=runbook,
        colors=colors,
        axis=axis,
    )


steps = partial(lines, look=Look.STEPS)
"""Return a panel of lines without slopes."""

stack = partial(lines, look=Look.STACK)
"""Return a panel of stacked lines."""

events = partial(lines, look=Look.BARS)
"""Return a panel of bars: what happened, and how often."""


def stat(
    title: str,
    unit: str,
    query: str,
    description: str,
    *,
    legend: str = "now",
    limits: Limits = PLAIN,
    states: States = (),
    decimals: int | None = None,
    runbook: str = "",
    absent: Absent = UNKNOWN,
) -> Panel:
    """Return a panel with one large value for each series, colored by its thresholds."""
    panel = lines(title, unit, {legend: query}, description, limits=limits, runbook=runbook)
    return replace(panel, look=Look.STAT, states=states, decimals=decimals, height=3, absent=absent)


def timeline(
    title: str,
    query: str,
    legend: str,
    description: str,
    *,
    states: States = UP,
    limits: Limits = PLAIN,
    runbook: str = "",
    value_links: tuple[Link, ...] = (),
) -> Panel:
    """Return a panel with one colored band for each series: states over time."""
    panel = lines(title, "short", {legend: query}, description, limits=limits, runbook=runbook)
    return replace(panel, look=Look.TIMELINE, states=states, value_links=value_links)


def table(
    title: str,
    columns: Mapping[str, tuple[str, Column]],
    description: str,
    *,
    height: int = 6,
    runbook: str = "",
    value_links: tuple[Link, ...] = (),
    linked: str = "",
    worst_first: str = "",
) -> Panel:
    """Return a table: one row for each label set, one column for each query.

    The queries must agree in their labels, by which their rows are merged.
    """
    panel = lines(
        title, "short", {name: query for name, (query, _) in columns.items()}, description
    )
    return replace(
        panel,
        look=Look.TABLE,
        height=height,
        runbook=runbook,
        value_links=value_links,
        linked=linked,
        worst_first=worst_first,
        columns={name: column for name, (_, column) in columns.items()},
    )


def alert_list(
    title: str, matcher: str, description: str, *, width: int = 0, height: int = 7
) -> Panel:
    """Return Grafana's own list of matching firing alerts; they can be silenced there."""
    panel = lines(title, "short", {"": matcher}, description)
    return replace(panel, look=Look.ALERTS, width=width, height=height)


def _queries(queries: Mapping[str, str]) -> tuple[Query, ...]:
    return tuple(Query(expr=expr, legend=legend) for legend, expr in queries.items())
