"""Renders templates. Jinja2 is imported with the first page, in a thread."""

import asyncio
import functools
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trading_ops import clock
from trading_ops.capacity.recommend import amount as capacity_amount
from trading_ops.capacity.resources import ResourceUnit

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent
STATIC: Mapping[str, str] = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
LINE_WIDTH, LINE_HEIGHT = 96, 22
MINUTE, HOUR, DAY = 60, 3600, 86400


@functools.cache
def static(name: str) -> bytes:
    """Return one of our static files."""
    return (FOLDER / "static" / name).read_bytes()


@functools.cache
def version() -> str:
    """Return a value that changes with our static files, so that browsers can cache them."""
    return hashlib.sha256(b"".join(static(name) for name in sorted(STATIC))).hexdigest()[:12]


async def render(name: str, values: Mapping[str, Any]) -> str:
    """Return a page."""
    if not _environment.cache_info().currsize:
        await asyncio.to_thread(_environment)
    return _environment().get_template(name).render(values)


@functools.cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "age": age,
        "amount": amount,
        "amounts": amounts,
        "clock": clock_time,
        "line": line,
        "percent": percent,
        "quantity": quantity,
        "seconds_since": seconds_since,
        "spoken": spoken,
    }
    environment.globals["version"] = version()
    for template in environment.list_templates():
        environment.get_template(template)
    return environment


def age(since: datetime | float | None) -> str:
    """Return the time since a given time, or a number of seconds, as `12 s`, `3 min` or `2 h`."""
    if since is None:
        return "-"
    seconds = (clock.now() - since).total_seconds() if isinstance(since, datetime) else since
    sign = "in " if seconds < -1 else ""
    seconds = abs(seconds)
    if seconds < 10:  # noqa: PLR2004
        return f"{sign}{seconds:.1f} s"
    if seconds < 2 * MINUTE:
        return f"{sign}{seconds:.0f} s"
    if seconds < 2 * HOUR:
        return f"{sign}{seconds / MINUTE:.0f} min"
    if seconds < 2 * DAY:
        return f"{sign}{seconds / HOUR:.0f} h"
    return f"{sign}{seconds / DAY:.0f} d"


def amount(value: float) -> str:
    """Return an amount of money with the significant digits."""
    digits = 0 if abs(value) >= 1000 or value == 0 else 2  # noqa: PLR2004
    return f"{value:,.{digits}f}"


def amounts(of: Mapping[str, float]) -> str:
    """Return amounts with their currencies."""
    return " + ".join(f"{amount(value)} {currency}" for currency, value in of.items())


def percent(share: float) -> str:
    """Return a share in percent."""
    return f"{100 * share:.0f} %"


def quantity(value: float, unit: ResourceUnit) -> str:
    """Return an amount of a resource with its unit."""
    return capacity_amount(unit, value)


def seconds_since(moment: datetime) -> float:
    """Return the seconds since a given time."""
    return max(0.0, (clock.now() - moment).total_seconds())


def clock_time(moment: datetime | None) -> str:
    """Return a time in UTC, with its date unless it is today."""
    if moment is None:
        return "-"
    same_day = moment.date() == clock.now().date()
    return moment.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S")


def spoken(value: str) -> str:
    """Return an API value as text: `step_due` becomes `step due`."""
    return str(value).replace("_", " ")


def line(points: Sequence[tuple[float, float]]) -> str:
    """Return the points of an SVG line as wide as a cell."""
    if not points:
        return ""
    begin, span = points[0][0], (points[-1][0] - points[0][0]) or 1.0
    low, high = min(value for _, value in points), max(value for _, value in points)

    def height(value: float) -> float:
        if high == low:
            return LINE_HEIGHT / 2
        return LINE_HEIGHT - 2 - (value - low) / (high - low) * (LINE_HEIGHT - 4)

    return " ".join(
        f"{(at - begin) / span * (LINE_WIDTH - 2) + 1:.1f},{height(value):.1f}"
        for at, value in points
    )
