"""A bot in a process of its own, with a model and a log folder, trading on the real venue."""

import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.service.bot.conftest import Control, Venue
from tests.service.botkit.conftest import until
from tests.unit.logs.reading import lines_of
from tests.waiting import PATIENCE
from trading_ops import clock
from trading_ops_lab.paper.bot.signals.faults import ModelFault, break_model

pytestmark = pytest.mark.processes


@pytest.fixture
def config_file(config_file: Path, tmp_path: Path) -> Path:
    config = json.loads(config_file.read_text())
    config["log_dir"] = str(tmp_path / "log")
    config["signals"] = {"source": "model", "timeout_seconds": 1.0, "maximum_age_seconds": 2.0}
    config_file.write_text(json.dumps(config))
    return config_file


async def detail(control: Control) -> str:
    health = await control.get("/health")
    return str(health["components"]["signals"]["detail"])


async def test_a_model_decides_is_replaced_and_everything_is_reported(
    venue: Venue,
    spawn: Callable[[], subprocess.Popen[bytes]],
    control: Control,
    config_file: Path,
    tmp_path: Path,
) -> None:
    """Orders by the model, passes without it, the timeline in log and records, and no secret."""
    bot = spawn()
    log = tmp_path / "log" / "bot-alpha.log"

    def events_of(kind: str) -> list[dict[str, Any]]:
        query = "SELECT code, order_id, detail FROM events WHERE kind = ? ORDER BY id"
        with closing(sqlite3.connect(tmp_path / "bot" / "bot.db")) as connection:
            rows = connection.execute(query, (kind,)).fetchall()
        return [
            {"code": code, "order": order, "detail": json.loads(detail)}
            for code, order, detail in rows
        ]

    def ordered_by(source: str) -> list[dict[str, Any]]:
        ordered = [event for event in events_of("SIGNAL") if event["code"] == "ordered"]
        return [event for event in ordered if event["detail"]["source"] == source]

    await until(lambda: log.exists() and "decider_changed" in log.read_text(), within=60)
    await until(lambda: ordered_by("model"), within=60)
    break_model(tmp_path / "bot", ModelFault.HANG)

    deadline = clock.monotonic() + 30 * PATIENCE
    while "fallback decides" not in await detail(control):
        assert clock.monotonic() < deadline
    before = len(venue.journal("dead_man_armed"))
    await until(lambda: len(venue.journal("dead_man_armed")) > before + 1)
    answer = await control.command("cancel_orders")
    bot.terminate()
    assert bot.wait(60) == 0
    first = ordered_by("model")[0]
    assert set(first["detail"]) >= {"signal", "confidence", "horizon_seconds", "target"}
    assert first["order"] in {event["order"] for event in events_of("ORDER")}
    codes = [event["code"] for event in events_of("SIGNAL") if event["code"] != "ordered"]
    assert codes[:2] == ["model_decides", "fallback_decides"]
    lines = [json.loads(line) for line in lines_of(log)]
    life = [line for line in lines if line.get("order") == first["order"]]
    assert {"order_acknowledged"} <= {event["event"] for event in life}
    acknowledged = next(event for event in life if event["event"] == "order_acknowledged")
    assert (acknowledged["strategy"], acknowledged["bot"]) == ("model", "alpha")
    assert acknowledged["pass_number"] > 0
    assert any(line.get("attempt") == answer["attempt_id"] for line in lines)
    assert lines[-1]["event"] == "bot_stopped"
    written = "".join(lines_of(log)) + (tmp_path / "bot.log").read_text()
    for secret in (tmp_path / "secrets").iterdir():
        assert secret.read_text().strip() not in written
