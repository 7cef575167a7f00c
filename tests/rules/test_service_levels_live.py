"""The objectives of a monthly report, asked of a real Prometheus with two days of history."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from tests.rules.configuration import run_tool
from tests.rules.running_prometheus import start_prometheus
from trading_ops.clients.http import Http
from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.report import ServiceLevel
from trading_ops.reports.budgets import read_levels
from trading_ops.reports.slo import objectives

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=2)
STEP = 30
SAMPLES = int((UNTIL - SINCE).total_seconds()) // STEP


def history() -> Iterator[str]:
    """Alpha: 288 of 5,760 samples down. Beta: up, but measured for the first day only."""
    down = range(100, 388)
    for metric in ("slo:sli_bad:rate5m", "slo:sli_events:rate5m"):
        for bot, count in (("alpha", SAMPLES), ("beta", SAMPLES // 2)):
            labels = f'sloth_slo="availability",bot="{bot}",venue="paper"'
            for number in range(count):
                value = 1 if metric.endswith("events:rate5m") else bot == "alpha" and number in down
                at = SINCE.timestamp() + (number + 1) * STEP
                yield f"{metric}{{{labels}}} {int(value)} {at:.0f}"
    yield "# EOF\n"


@asynccontextmanager
async def prometheus_with_history(folder: Path) -> AsyncIterator[str]:
    """Backfill the two days, and yield the address of the Prometheus that has them."""
    text, config = folder / "history.txt", folder / "prometheus.yml"
    text.write_text("\n".join(history()), encoding="ascii")
    config.write_text("global: {}\n", encoding="ascii")
    backfill = ("tsdb", "create-blocks-from", "openmetrics", text, folder / "data")
    await asyncio.to_thread(run_tool, "promtool", *backfill)
    flags = ["--storage.tsdb.retention.time=100y"]
    async with start_prometheus(config, alertmanagers=0, flags=flags) as address:
        yield address


async def test_each_bot_and_objective_has_its_row(tmp_path: Path) -> None:
    """Only measured ones decide; the others are named; a bot without a sample is listed."""
    async with (
        prometheus_with_history(tmp_path) as address,
        aiohttp.ClientSession() as session,
    ):
        prometheus = Prometheus(Http(session, f"http://{address}"))
        found = await read_levels(prometheus, ["gamma", "alpha"], since=SINCE, until=UNTIL)
    assert found is not None
    rows = {(level.bot, level.slo): level for level in found}
    names = [objective.name for objective in objectives()]
    assert list(rows) == [(bot, name) for bot in ("alpha", "beta", "gamma") for name in names]
    alpha, beta, gamma = (rows[bot, "availability"] for bot in ("alpha", "beta", "gamma"))
    assert figures(alpha) == pytest.approx((0.95, 50, -49, 1))
    assert figures(beta) == pytest.approx((1, 0, 1, 0.5))
    assert figures(gamma) == (None, None, None, 0)
    assert figures(rows["alpha", "nonces"]) == (None, None, None, 0)


async def test_no_answer_is_no_table() -> None:
    """Not a table of kept objectives."""
    async with aiohttp.ClientSession() as session:
        prometheus = Prometheus(Http(session, "http://127.0.0.1:1"))
        assert await read_levels(prometheus, ["alpha"], since=SINCE, until=UNTIL) is None


def figures(service_level: ServiceLevel) -> tuple[float | None, ...]:
    return service_level.ratio, service_level.spent, service_level.left, service_level.measured
