"""In a maintenance window the model is suspended; feed, orders and the heartbeat go on."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.service.bot.conftest import Control, Venue
from tests.service.botkit.conftest import until
from tests.waiting import eventually
from trading_ops_lab.paper.bot.bot import Bot

pytestmark = pytest.mark.processes


@pytest.fixture
def config_file(config_file: Path) -> Path:
    config = json.loads(config_file.read_text())
    config["signals"] = {"source": "model", "timeout_seconds": 1.0, "maximum_age_seconds": 2.0}
    config_file.write_text(json.dumps(config))
    return config_file


async def test_the_model_waits_and_orders_do_not(bot: Bot, venue: Venue, control: Control) -> None:
    """What trades meanwhile is the fallback; the model returns when the window ends."""

    def detail() -> Any:
        return bot.signals.detail

    await eventually(lambda: "model decides" in detail(), within=60)
    answer = await control.command("suspend_parts", seconds="300")
    assert (answer["outcome"], "model, probes" in answer["detail"]) == ("succeeded", True)
    await eventually(lambda: "suspended for maintenance" in detail(), within=20)
    seen, beat = venue.last_seq(), bot.heartbeat.beat_at
    await until(lambda: venue.journal("order_added", after=seen), within=60)
    await eventually(lambda: bot.heartbeat.beat_at != beat)
    assert bot.feed.up
    await control.command("suspend_parts", seconds="0")
    await eventually(lambda: "model decides" in detail(), within=60)
