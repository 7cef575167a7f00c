"""What a panel is, as plain data: the content of a board without Grafana's details."""

from dataclasses import dataclass
from enum import StrEnum

GREEN, YELLOW, RED = "green", "yellow", "red"

WATCHED = 'job=~"$job",instance=~"$instance"'
"""The selectors of a query on one of our own processes."""

OF_BOT = f'{WATCHED},bot=~"$bot",venue=~"$venue"'
"""The selectors of a query on what a bot exports."""

OF_VENUE = f'{WATCHED},venue=~"$venue"'


class Look(StrEnum):
    """How a panel shows its values."""

    STAT = "stat"
    LINES = "timeseries"
    STEPS = "stepped"
    """Lines without slopes: for states and counts."""

    TIMELINE = "state-timeline"


@dataclass(frozen=True, kw_only=True)
class Query:
    """One PromQL query; `legend` is Grafana's template of a series' name."""

    expr: str
    legend: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel."""

    title: str
    description: str
    """What it shows, and what to think when it is red."""

    unit: str
    """Grafana's name of the unit: `s`, `percentunit`, `reqps`, `short`, …"""

    queries: tuple[Query, ...]
    thresholds: tuple[tuple[float | None, str], ...]
    """From a value on (None: from the bottom), the colour."""

    look: Look = Look.LINES
    width: int = 8
    """Columns of 24."""

    height: int = 7
    runbook: str = ""
    """The alert whose runbook is linked."""

    states: tuple[tuple[str, str, str], ...] = ()
    """For values that are states: value, text, colour."""

    decimals: int | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A heading with its panels; without a title there is no heading."""

    title: str
    panels: tuple[Panel, ...]
