"""The plan of a real Prometheus that has lived through twelve days."""

from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from tests.rules.configuration import run_tool
from tests.rules.running_prometheus import start_prometheus
from trading_ops import clock
from trading_ops.capacity.limits import Choices
from trading_ops.capacity.plan import Level, ResourceView
from trading_ops.capacity.read import Capacity
from trading_ops.capacity.trend import GrowthFinding
from trading_ops.clients.http import Http
from trading_ops.clients.prometheus import Prometheus

pytestmark = pytest.mark.slow

GB = 1e9
HOUR = 3600
DAYS = 12


def history(now: int) -> str:
    """Return a disk that grows by 1 GB a day, one that does not, and a bot near its rate limit."""
    names = (
        ("trading_host_disk_size_bytes", "/var", lambda _: 100 * GB),
        ("trading_host_disk_size_bytes", "/", lambda _: 100 * GB),
        ("trading_host_disk_free_bytes", "/var", lambda day: (40 - day) * GB),
        ("trading_host_disk_free_bytes", "/", lambda _: 70 * GB),
    )
    lines = []
    for number in range(DAYS * 24 + 1):
        at, day = now - (DAYS * 24 - number) * HOUR, number / 24
        for name, path, value in names:
            labels = f'job="trading-exporter",instance="host:1",path="{path}"'
            lines.append(f"{name}{{{labels}}} {value(day)!r} {at}")
        for bot, used in (("alpha", 0.9), ("beta", 0.1)):
            labels = f'job="trading-bot",instance="{bot}:1",bot="{bot}",venue="paper",group="calls"'
            lines.append(f"trading_venue_rate_limit_used_ratio{{{labels}}} {used} {at}")
    lines.sort(key=lambda line: line.partition("{")[0])
    return "\n".join([*lines, "# EOF", ""])


def view_of(found: list[ResourceView], resource: str, value: str | None = None) -> ResourceView:
    """Return the one of a resource that has a label of this value."""
    (view,) = [
        view
        for view in found
        if view.resource == resource and (value is None or value in view.labels.values())
    ]
    return view


async def test_a_plan_of_stored_history(tmp_path: Path) -> None:
    """The growing disk is forecast, the flat one is not, what has no data is unknown."""
    now = int(clock.timestamp()) - 60
    text, config = tmp_path / "history.txt", tmp_path / "bare.yml"
    text.write_text(history(now), encoding="ascii")
    config.write_text("global: {}\n", encoding="ascii")
    run_tool("promtool", "tsdb", "create-blocks-from", "openmetrics", text, tmp_path / "data")
    at = datetime.fromtimestamp(now, UTC)
    async with (
        start_prometheus(config, alertmanagers=0) as address,
        aiohttp.ClientSession() as session,
    ):
        prometheus = Prometheus(Http(session, f"http://{address}"))
        capacity = Capacity(prometheus, Choices)
        plan = await capacity.plan(now=at)
        of_alpha = await capacity.plan(now=at, bot="alpha")

    growing = view_of(plan.resources, "disk", "/var")
    assert growing.growth
    assert growing.growth.finding is GrowthFinding.GROWING
    assert abs(growing.growth.per_day - GB) < 0.01 * GB
    assert growing.to_full
    assert growing.to_full.expected
    assert abs(growing.to_full.expected - (40 - DAYS)) < 1
    assert growing.level is Level.WARNING
    assert "/var is full in 28 days" in growing.recommendation

    steady = view_of(plan.resources, "disk", "/")
    assert steady.growth
    assert steady.growth.finding is GrowthFinding.NO_TREND
    assert steady.to_full
    assert steady.to_full.expected is None
    assert steady.level is Level.OK

    assert view_of(plan.resources, "memory").level is Level.UNKNOWN
    assert view_of(plan.resources, "rate-limit", "alpha").level is Level.CRITICAL
    assert view_of(plan.resources, "rate-limit", "beta").level is Level.OK
    assert plan.bottlenecks[0].labels["bot"] == "alpha"
    assert {resource_.labels.get("bot", "alpha") for resource_ in of_alpha.resources} == {"alpha"}
    assert "disk" not in {resource_.resource for resource_ in of_alpha.resources}
