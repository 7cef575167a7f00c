"""A Prometheus whose clock was set back says so: its samples are from the future.

promtool's tests show a rule no sample that is newer than the evaluation, so this is a real one.
"""

from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from tests.rules.stored_history import HOUR, Series, lived_through
from tests.waiting import eventually
from trading_ops import clock

pytestmark = pytest.mark.slow

WITHIN = 60.0
UP = Series(
    name="up",
    labels={"job": "trading-reconciler", "instance": "i:4"},
    curve=lambda _age: 1.0,
    hours=2.0,
)


async def test_the_alert_fires_and_watchdog_does_not(tmp_path: Path) -> None:
    """The history ends in an hour: so long new samples are refused, and the past is read again."""
    async with (
        lived_through(
            tmp_path, [UP], now=clock.timestamp() + HOUR, recorded=frozenset()
        ) as address,
        aiohttp.ClientSession() as session,
    ):

        async def firing() -> dict[str, dict[str, str]]:
            async with session.get(f"http://{address}/api/v1/alerts") as answer:
                found = (await answer.json())["data"]["alerts"]
            return {alert["labels"]["alertname"]: alert["labels"] for alert in found}

        async def evaluated() -> bool:
            """Whether the group of both rules has been evaluated since Watchdog's 10 s."""
            async with session.get(f"http://{address}/api/v1/rules") as answer:
                groups = (await answer.json())["data"]["groups"]
            times = [group["lastEvaluation"] for group in groups if group["name"] == "trading-ops"]
            return datetime.fromisoformat(times[0]) > began + timedelta(seconds=20)

        began = clock.now()
        await eventually(evaluated, within=WITHIN, what="some evaluations")
        alerts = await firing()
    assert alerts["TradingOpsClockStepped"]["clock"] == "prometheus"
    assert "Watchdog" not in alerts
