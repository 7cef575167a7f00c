"""The fastest drills on real processes: they recover, and without automation they do not."""

from pathlib import Path

import msgspec
import pytest

from grafana.boards import proof
from grafana.boards.queries import board_queries
from tests.e2e.board_answers import unanswered
from tests.stack import Stack
from tests.waiting import eventually
from trading_ops_lab.drills.gameday_page import FILE, LOCAL
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.recorded_drills import GameDayRecord, RecordedDrill

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
FASTEST = 8
"""So many: the game day has them all."""


def fastest() -> list[RecordedDrill]:
    """Return the fastest drills of the committed game day that end on their own."""
    day = msgspec.json.decode((DOCS / FILE).read_bytes(), type=GameDayRecord)
    plain = [
        drill
        for drill in day.all_drills
        if drill.target == LOCAL and not (drill.not_remediated or drill.during or drill.escalated)
    ]
    ended = [
        (drill.total_seconds, drill.alert, drill)
        for drill in plain
        if drill.total_seconds is not None
    ]
    return [drill for _, _, drill in sorted(ended, key=lambda row: row[:2])[:FASTEST]]


DRILLS = [drill.alert for drill in fastest() if not drill.page_only]
PAGE_ONLY = [drill.alert for drill in fastest() if drill.page_only]
HELD_BACK = ["TradingBotBrokerDisconnected"]
"""Each costs its whole limit."""

STAGES = [
    "injected",
    "detected",
    "fired",
    "received",
    "decided",
    "acted",
    "done",
    "verified",
    "closed",
]


@pytest.mark.parametrize("alert", DRILLS)
def test_drill_is_closed_in_time(stack: Stack, alert: str) -> None:
    """Every stage is reached in order and in time, and there is evidence of the fix."""
    code, result = stack.json("drill", alert)
    assert code == 0, result["problem"] + stack.logs()
    stages = [mark["stage"] for mark in result["timeline"]]
    assert [stage for stage in stages if stage in STAGES] == STAGES
    seconds = [mark["seconds"] for mark in result["timeline"]]
    assert seconds == sorted(seconds)
    assert result["evidence"]
    assert result["total_seconds"] <= result["limit_seconds"]


@pytest.mark.parametrize("alert", HELD_BACK)
def test_without_automation_nothing_recovers(stack: Stack, alert: str) -> None:
    """The fault stays as long as no one fixes it, and the stored reason says why no one did."""
    code, result = stack.json("drill", alert, "--paused")
    assert code == 0, result["problem"] + stack.logs()
    assert any(reason.startswith("paused: would have run") for reason in result["reasons"])


@pytest.mark.parametrize("alert", PAGE_ONLY)
def test_what_is_for_people_is_noticed_and_nothing_is_done(stack: Stack, alert: str) -> None:
    """No bot is restarted for an outage of its venue, and the alert ends with the outage."""
    code, result = stack.json("drill", alert)
    assert code == 0, result["problem"] + stack.logs()
    stages = [mark["stage"] for mark in result["timeline"]]
    assert "acted" not in stages
    assert stages.index("noticed") < stages.index("removed") < stages.index("closed")


def test_incidents_report_what_happened(stack: Stack) -> None:
    """The drills' incidents are listed, and each tells its whole timeline."""
    code, incidents = stack.json("incidents", "--alert", "TradingBotDown")
    assert code == 0
    assert incidents[0]["close_reason"] == "recovered"
    shown = stack.run("incidents", "show", incidents[0]["id"][:8])
    assert shown.returncode == 0
    for stage in ("received", "decided_run", "started", "succeeded", "verified", "closed"):
        assert stage in shown.stdout


async def test_every_query_of_every_board_returns_figures(stack: Stack, scene: Scene) -> None:
    """A panel that shows nothing is a broken promise; every query of every board is asked.

    Over the session so far: the drills are in it, a halt that outlasts its maintenance window, and
    one more window.
    """
    if not await scene.reconciler.incidents(alertname="TradingBotDown"):
        assert stack.json("drill", "TradingBotDown")[0] == 0
    reason = ("--reason", "the boards show it")
    begin = ("maintenance", "begin", "alpha", "--for", "10m", *reason)

    def end_window() -> None:
        (window,) = stack.json("maintenance", "list")[1]["maintenance"]
        assert stack.run("maintenance", "end", str(window["id"])).returncode == 0

    async def known(query: str) -> None:
        async def ask() -> object:
            return await scene.prometheus.query(query)

        await eventually(ask, what=query)

    assert stack.run(*begin).returncode == 0
    try:
        assert stack.run("halt", "alpha", *reason).returncode == 0
        await known('trading_state{state="halted"} == 1')
    finally:
        end_window()
    await known("trading_ops_maintenance_holds_left > 0")
    assert stack.run("resume", "alpha", *reason).returncode == 0
    assert stack.run(*begin).returncode == 0
    queries = [query for query in board_queries() if not proof.only_postgresql(query.expr)]
    try:
        assert await unanswered(stack, queries) == []
    finally:
        end_window()
