"""The band of a whole day, as in `test_long_windows_live.py`; apart: it takes three minutes."""

from pathlib import Path

import aiohttp
import pytest

from tests.rules.configuration import load_rules
from tests.rules.stored_history import Series, lived_through, pending
from tests.waiting import eventually
from trading_ops import clock

pytestmark = pytest.mark.long

RULE = next(rule for rule in load_rules() if rule.name == "TradingAnomaly")
RECORDED = frozenset({"anomaly:select"})
MINUTE = 60.0
WITHIN = 60.0


def profit(bot: str, *, of_late: float) -> Series:
    """Return a day of a dollar up and a dollar down, and something else in the last 20 minutes."""

    def curve(age: float) -> float:
        return (of_late if age < 20 * MINUTE else -3.0) + (1.0 if age // MINUTE % 2 else -1.0)

    labels = {"bot": bot, "venue": "paper", "currency": "USD", "instance": f"{bot}:1"}
    return Series(name="trading_unrealized_pnl", labels=labels, curve=curve, hours=25)


async def test_a_loss_far_outside_of_the_band_of_a_day_is_an_anomaly(tmp_path: Path) -> None:
    """Also of a figure below zero; what stays within what is usual is none."""
    now = float(int(clock.timestamp()))
    history = [profit("bad", of_late=-60.0), profit("good", of_late=-4.0)]
    for bot in ("bad", "good"):
        whose = {"bot": bot, "venue": "paper", "currency": "USD"}
        labels = {**whose, "anomaly_name": "unrealized_pnl"}
        history.append(pending(RULE, labels, now))
    async with (
        lived_through(tmp_path / "p", history, now=now, recorded=RECORDED) as address,
        aiohttp.ClientSession() as session,
    ):

        async def shown(*states: str) -> set[str]:
            async with session.get(f"http://{address}/api/v1/alerts") as answer:
                alerts = (await answer.json())["data"]["alerts"]
            mine = (alert for alert in alerts if alert["labels"]["alertname"] == RULE.name)
            return {alert["labels"]["bot"] for alert in mine if alert["state"] in states}

        async def fires() -> bool:
            return "bad" in await shown("firing")

        await eventually(fires, within=WITHIN, what="the anomaly to fire")
        assert await shown("firing", "pending") == {"bad"}
