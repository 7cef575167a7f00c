"""What the reconciler tells of itself is what Prometheus' own linter and parsers expect."""

import asyncio
from asyncio.subprocess import PIPE

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from tests.service.api.conftest import ask
from tests.service.reconciler.conftest import Start

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
