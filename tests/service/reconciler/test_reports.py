"""Reports of a running reconciler: from the store and Prometheus, and sent once."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.service.reconciler.conftest import Running, Start
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.config.settings import Settings

CONFIG = "version: 1\nroutes: [{name: all, kinds: [report], to: [mail]}]\n"
MONEY = {"bot": "alpha", "currency": "USD"}


@pytest.fixture
def config(settings: Settings) -> Path:
    path = settings.root / "notify.yml"
    path.write_text(CONFIG)
    return path


async def reports(running: Running) -> list[dict[str, Any]]:
    """Return the reports in the outbox."""
    found: list[dict[str, Any]] = (await running.call("GET", "/api/v1/messages?kind=report"))[
        "messages"
    ]
    return found


async def test_a_report_has_what_happened_and_what_is_missing(start: Start, config: Path) -> None:
    async with start(notify_config=config) as running:
        running.world.samples = {
            "trading_realized_pnl": [(MONEY, 12.5)],
            "trading_risk_limit_used_ratio": [({"bot": "alpha", "limit": "daily_loss"}, 0.5)],
            "trading_equity": [(MONEY, float("nan"))],
            "trading_position{": [
                ({"bot": "alpha", "symbol": "ETH/USD"}, -0.5),
                ({"bot": "alpha", "symbol": "SOL/USDT:USDT"}, 2.0),
            ],
            "trading_position_unrealized_pnl{": [({"bot": "alpha", "symbol": "ETH/USD"}, -12.5)],
        }
        await running.break_it()
        incident = await eventually(running.closed)
        hold = {"reason": "a test", "owner": "ann"}
        await running.call("POST", "/api/v1/targets/alpha/halt", json=hold)
        shown = await running.call("GET", "/api/v1/reports/daily")
        report = shown["report"]
        assert report["results"] == [["USD", 12.5]]
        short, future = report["positions"]
        assert (short["quantity"], short["unrealized"], short["currency"]) == (-0.5, -12.5, "USD")
        assert (future["unrealized"], future["currency"]) == (None, "USDT")
        assert report["previous_results"] == []
        (bot,) = report["bots"]
        assert (bot["result"], bot["equity"], bot["orders_filled"]) == (12.5, None, None)
        assert report["limits"] == [{"bot": "alpha", "limit": "daily_loss", "ratio": 0.5}]
        assert [incident["id"] for incident in report["incidents"]] == [incident["id"][:8]]
        assert report["response"]["remediated"] == 1
        assert any("alpha is halted by ann" in line for line in report["open"])
        assert report["backups"]["kept"] == 0
        running.world.prometheus_down = True
        dark = (await running.call("GET", "/api/v1/reports/daily"))["report"]
        assert (dark["bots"], dark["response"]["incidents"]) == ([], 1)
        assert any("did not answer" in line for line in dark["missing"])


async def test_a_quarter_compares_and_looks_ahead(start: Start, config: Path) -> None:
    """With the quarter before; the capacity of what is not measured is left out."""
    async with start(notify_config=config) as running:
        running.world.samples = {"trading_realized_pnl": [(MONEY, 12.5)]}
        await running.break_it()
        await eventually(running.closed)
        report = (await running.call("GET", "/api/v1/reports/quarterly"))["report"]
    assert report["previous_results"] == [["USD", 12.5]]
    assert report["previous"]["incidents"] == 0
    assert (report["suggestions"], report["capacity"]) == ([], [])


async def test_a_month_lists_the_objectives_of_every_bot(start: Start, config: Path) -> None:
    """Also while nothing of a bot was measured, with the queries that were asked."""
    own = {"bot": "beta", "sloth_slo": "availability"}
    async with start(notify_config=config) as running:
        running.world.samples = {
            "count_over_time": [(own, 0.75)],
            "slo:sli_bad:rate5m": [(own, 1)],
            "slo:sli_events:rate5m": [(own, 2000)],
        }
        shown = await running.call("GET", "/api/v1/reports/monthly?date=2026-03-02")
        running.world.prometheus_down = True
        dark = await running.call("GET", "/api/v1/reports/monthly?date=2026-03-02")
    rows = {(level["bot"], level["slo"]): level for level in shown["report"]["levels"]}
    spent = rows["beta", "availability"]
    assert (spent["ratio"], spent["spent"], spent["measured"]) == (0.9995, 0.5, 0.75)
    assert rows["alpha", "availability"]["ratio"] is None
    assert "[2678400s]" in shown["report"]["level_queries"]["bad"]
    assert dark["report"]["levels"] == []
    assert any("did not answer" in line for line in dark["report"]["missing"])


async def test_a_period_is_sent_once(start: Start, config: Path) -> None:
    """However often it is asked for; another period is another report."""
    async with start(notify_config=config) as running:
        send = partial(running.call, "POST", "/api/v1/reports/daily")
        yesterday = {"date": "2026-03-02"}
        assert (await send(json=yesterday))["channels"] == ["mail"]
        assert (await send(json=yesterday))["channels"] == []
        await send(json={"date": "2026-03-03"})
        assert len(await reports(running)) == 2


async def test_a_report_on_a_span_is_about_exactly_that_time(start: Start, config: Path) -> None:
    """Sent once; a span next to it is another report."""
    async with start(notify_config=config) as running:
        send = partial(running.call, "POST", "/api/v1/reports/daily")
        spans = [
            {"since": f"2026-03-0{day}T21:30:00Z", "until": f"2026-03-0{day + 1}T21:30:00Z"}
            for day in (1, 2, 2)
        ]
        for span in spans:
            await send(json=span)
        query = "since=2026-03-01T21:30:00Z&until=2026-03-02T21:30:00Z"
        report = (await running.call("GET", f"/api/v1/reports/daily?{query}"))["report"]
        assert (report["since"], report["until"]) == (spans[0]["since"], spans[0]["until"])
        assert len(await reports(running)) == 2


async def test_today_so_far_does_not_replace_the_report_of_the_day(
    start: Start, config: Path
) -> None:
    """Sent by hand at noon; the scheduled one is another report."""
    async with start(notify_config=config) as running:
        send = partial(running.call, "POST", "/api/v1/reports/daily")
        assert (await send(json={}))["channels"] == ["mail"]
        until = clock.now() - timedelta(hours=1)
        span = {"since": (until - timedelta(days=1)).isoformat(), "until": until.isoformat()}
        assert (await send(json=span))["channels"] == ["mail"]
        assert len(await reports(running)) == 2


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/reports/daily?since=2026-03-02T00:00:00Z", 409),
        ("/api/v1/reports/daily?since=0001-01-01T00:00:00%2B14:00&until=0001-01-02T00:00:00Z", 409),
        ("/api/v1/reports/daily?since=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z", 409),
        ("/api/v1/reports/hourly", 404),
        ("/api/v1/reports/daily?date=2999-01-01", 409),
        ("/api/v1/reports/daily?date=yesterday", 422),
    ],
)
async def test_what_cannot_be_reported_is_refused(
    start: Start, config: Path, path: str, status: int
) -> None:
    async with start(notify_config=config) as running:
        headers = {"Authorization": "Bearer operator"}
        async with running.client.get(path, headers=headers) as response:
            assert response.status == status, await response.text()
