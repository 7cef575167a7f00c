"""What the reconciler tells of itself is what Prometheus' own linter and parsers expect."""

import asyncio
from asyncio.subprocess import PIPE

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from tests.service.api.conftest import ask
from tests.service.reconciler.conftest import Start
from tests.waiting import eventually

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


async def test_the_linter_finds_nothing_to_say(start: Start) -> None:
    """`promtool check metrics` is content with the text format, and OpenMetrics is proper too."""
    async with start() as running:
        status, text = await ask(running, "GET", "/metrics")
        headers = {"Accept": OPENMETRICS}
        _, openmetrics = await ask(running, "GET", "/metrics", headers=headers)
    assert status == 200
    assert text.count("\n") > 50
    assert "_created" not in text + openmetrics
    check = await asyncio.create_subprocess_exec(
        "promtool", "check", "metrics", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert await check.communicate(text.encode()) == (b"", b"")
    assert check.returncode == 0
    assert list(parse_openmetrics(openmetrics))  # type: ignore[no-untyped-call]  # no hint there


async def test_the_fast_scrape_and_the_slow_one_share_no_series(start: Start) -> None:
    """`/metrics/vital` is small; the rest is in `/metrics?exclude=vital`; both are everything."""
    async with start() as running:

        async def series(path: str) -> set[str]:
            status, text = await ask(running, "GET", path)
            assert status == 200
            return {
                line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")
            }

        async def scrape() -> tuple[set[str], set[str], set[str]] | None:
            """Return everything and its two parts, unless a series was created in between."""
            before = await series("/metrics")
            parts = await series("/metrics/vital"), await series("/metrics?exclude=vital")
            return (before, *parts) if await series("/metrics") == before else None

        everything, vital, rest = await eventually(scrape)
    assert not vital & rest
    assert vital | rest == everything
    assert "trading_ops_lease_held" in vital
    assert "trading_ops_automation_paused" in rest
    assert not [line for line in everything if "recovery_duration" in line]
    assert len(vital) < 250
