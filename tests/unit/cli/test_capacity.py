"""The table of `trading-ops capacity`."""

from rich.console import Console

from trading_ops.capacity.forecast import usage
from trading_ops.capacity.limits import Choices
from trading_ops.capacity.plan import ResourceView, view
from trading_ops.capacity.resources import RESOURCES
from trading_ops.cli.capacity import capacity_table

DISK = next(resource for resource in RESOURCES if resource.name == "disk")
HOUR = 3600.0


def disk(pace: float, *, days: int = 20) -> ResourceView:
    """Return the plan of a disk of 100 GB that grows by so many GB a day from 50 GB."""
    hours = days * 24
    samples = [(hour * HOUR, (50 + pace * hour / 24) * 1e9) for hour in range(hours + 1)]
    used = usage(samples, end=hours * HOUR, step=HOUR)
    return view(DISK, {"instance": "host:1", "path": "/var"}, used, 100e9, Choices())


def lines(*found: ResourceView) -> list[str]:
    """Return the lines of the table without its head."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(capacity_table(found))
    return capture.get().splitlines()[1:]


def test_each_answer_about_the_future_is_distinguished() -> None:
    """A day with its interval, reached, never, and not known."""
    growing, full, flat, short, unknown = lines(
        disk(1.0), disk(3.0), disk(0.0), disk(1.0, days=3), view(DISK, {}, None, 100e9, Choices())
    )
    assert "1 GB (1 GB to 1 GB)" in growing
    assert "30 (29 to 31)" in growing
    assert "reached" in full
    assert "no trend" in flat
    assert "never" in flat
    assert "too short" in short
    assert "unknown" in unknown
    assert "never" not in short + unknown
