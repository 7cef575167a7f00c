"""A game day's page is made from its record alone; its shares are worked out from its stages."""

import re
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trading_ops.errors import SetupError
from trading_ops.reconciler.runbook_index import load_runbooks
from trading_ops_lab.drills.drill_run import DrillResult
from trading_ops_lab.drills.gameday_page import (
    FILE,
    PAGE,
    grids,
    page,
    read,
    summary,
    write,
)
from trading_ops_lab.drills.recorded_drills import (
    GameDayRecord,
    Machine,
    RecordedDisaster,
    RecordedDrill,
    RecordedMark,
)

DOCS = Path(__file__).parents[3] / "docs"
RUNBOOKS = DOCS.parent / "runbooks"

REMEDIATED = {
    "injected": 0.0,
    "detected": 3.5,
    "fired": 5.5,
    "received": 5.6,
    "decided": 5.61,
    "acted": 5.62,
    "done": 6.0,
    "verified": 11.5,
    "closed": 11.6,
}
LEFT = {"injected": 0.0, "detected": 3.0, "received": 9.0, "noticed": 9.25, "removed": 19.0}


def drill(alert: str = "TradingBotDown", **given: object) -> RecordedDrill:
    """Return one drill that passed, but for what is given."""
    stages = given.pop("stages", REMEDIATED)
    assert isinstance(stages, dict)
    fields = {
        "alert": alert,
        "target": "alpha",
        "fault": "bot_kill",
        "broken": "the process is killed",
        "page_only": False,
        "paused": False,
        "silenced": False,
        "passed": True,
        "problem": "",
        "limit_seconds": 45.0,
        "total_seconds": 11.6,
        "incident": "1",
        "evidence": "the kernel",
        "reasons": [],
        "timeline": [RecordedMark(stage, seconds) for stage, seconds in stages.items()],
    }
    return RecordedDrill(**(fields | given))  # type: ignore[arg-type]


def left(alert: str = "TradingVenueDown") -> RecordedDrill:
    """Return a drill of a page-only alert."""
    return drill(
        alert, page_only=True, stages=LEFT | {"closed": 40.0}, total_seconds=40.0, evidence="nobody"
    )


def record(*drills: RecordedDrill) -> GameDayRecord:
    """Return a day."""
    at = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
    return GameDayRecord(
        began_at=at,
        ended_at=at.replace(minute=20),
        commit="abc",
        changed=False,
        versions={"Prometheus": "2.42.0"},
        machine=Machine(system="Linux", cores=2, memory_bytes=2**30),
        drills=list(drills),
    )


def test_the_committed_page_is_what_the_committed_record_gives() -> None:
    """A row that was made or fixed manually is found."""
    kept = msgspec.json.decode((DOCS / FILE).read_bytes(), type=GameDayRecord, strict=True)
    assert (DOCS / PAGE).read_text(encoding="utf-8") == page(kept)


def test_the_committed_day_has_every_drill_and_all_of_them_went_well() -> None:
    """A drill that is new, or that failed, is not shown by it."""
    kept = msgspec.json.decode((DOCS / FILE).read_bytes(), type=GameDayRecord, strict=True)
    drilled = {book.alert for book in load_runbooks(RUNBOOKS).values() if book.drill}
    assert {result.alert for result in kept.all_drills} == drilled
    assert [
        result.alert for result in kept.all_drills if not (result.passed or result.not_possible)
    ] == []


def test_the_record_has_every_field_of_a_result() -> None:
    """What a drill finds out is kept whole."""
    assert {field.name for field in fields(DrillResult)} == set(RecordedDrill.__struct_fields__)


def test_shares_add_up() -> None:
    """Theirs until it was received, ours until it was closed, the proof within ours."""
    closed = drill()
    assert closed.alerting_seconds == pytest.approx(5.6)
    assert closed.remediation_seconds == pytest.approx(6.0)
    assert closed.verification_seconds == pytest.approx(5.5)
    assert closed.remediation_without_verification == pytest.approx(0.5)
    assert (closed.alerting_seconds or 0) + (closed.remediation_seconds or 0) == pytest.approx(
        closed.total_seconds
    )


def test_the_proof_is_that_of_the_step_that_helped() -> None:
    """Two steps: only what followed the last action's end is proof."""
    twice = drill()
    again = [RecordedMark("acted", 7.0), RecordedMark("done", 8.0)]
    closed = msgspec.structs.replace(twice, timeline=[*twice.timeline, *again])
    assert closed.first("acted") == pytest.approx(5.62)
    assert closed.verification_seconds == pytest.approx(3.5)


def test_what_is_for_people_is_ours_until_it_was_left_to_them() -> None:
    """The rest of its time is the drill's own and the rule's."""
    paged = left()
    assert paged.remediation_seconds == pytest.approx(0.25)
    assert paged.verification_seconds is None


def test_a_paused_twin_is_a_column_of_its_drill() -> None:
    """It is no row of its own, and a recovery in spite of the pause is reported."""
    good = drill(paused=True, total_seconds=None, stages={"injected": 0.0})
    bad = msgspec.structs.replace(good, passed=False, problem="it recovered while paused")
    (grid,) = grids([drill(), good])
    assert [row[-2] for row in grid.rows] == ["broken after 45"]
    (grid,) = grids([drill(), bad])
    assert [row[-2] for row in grid.rows] == ["failed: it recovered while paused"]


def test_what_never_happened_is_a_dash_and_not_a_zero() -> None:
    """A drill that failed early has no shares."""
    lost = drill(stages={"injected": 0.0}, passed=False, problem="not detected", total_seconds=None)
    (grid,) = grids([lost])
    assert list(grid.rows[0][2:7]) == ["-"] * 5
    assert grid.rows[0][-1] == "failed: not detected"


def test_median_and_worst_are_of_what_ran() -> None:
    """Both kinds have their own sentence; paused runs are counted apart."""
    slow = drill("TradingBotSlow", stages=REMEDIATED | {"closed": 31.6}, total_seconds=31.6)
    paused = drill(paused=True)
    silenced = drill(silenced=True, passed=False)
    lines = summary([drill(), slow, left(), paused, silenced])
    assert lines[0] == "3 of 3 drills passed within their limits."
    assert lines[1] == "1 of 1 did not recover, and no action ran, with automation paused."
    assert lines[2] == "0 of 1 did not recover, and no action ran, while the alert was silenced."
    assert "closed after 21.60 s and 31.60 s" in lines[3]
    assert "received 9.00 s and 9.00 s" in lines[4]


@pytest.mark.parametrize("alert", ["TradingBotDown", "TradingVenueDown"])
def test_the_page_changes_with_every_drill(alert: str) -> None:
    """Nothing in the tables stands still."""
    drills = [drill(), left()]
    less = [kept for kept in drills if kept.alert != alert]
    assert page(record(*drills)) != page(record(*less))
    assert alert in page(record(*drills))
    assert alert not in page(record(*less))


def test_cells_cannot_break_the_table() -> None:
    """A problem with a bar in it stays in its cell."""
    text = page(record(drill(passed=False, problem="a | b")))
    assert "a \\| b" in text


def test_the_committed_day_does_not_say_where_it_was_run() -> None:
    """Paths start at the project's folder."""
    assert not re.search(r"[ \"](/\w+)+/var/", (DOCS / FILE).read_text(encoding="utf-8"))


def test_what_is_written_is_read_back_whole(tmp_path: Path) -> None:
    """The page in the folder is the one of the record in the folder."""
    day = record(drill(), left())
    write(tmp_path, day)
    kept = msgspec.json.decode((tmp_path / FILE).read_bytes(), type=GameDayRecord)
    assert kept == day
    assert (tmp_path / PAGE).read_text(encoding="utf-8") == page(kept)


def test_a_folder_that_cannot_be_written_to_is_reported(tmp_path: Path) -> None:
    """In a sentence with its name."""
    with pytest.raises(SetupError, match="gone"):
        write(tmp_path / "gone", record())


def test_a_drill_during_an_outage_has_a_table_of_its_own() -> None:
    """Its time holds the outage: it is in no median, and in no other row."""
    stages = REMEDIATED | {"waited": 5.62, "removed": 45.0, "acted": 62.0, "closed": 68.0}
    waited = drill(during="TradingVenueDown", stages=stages, total_seconds=68.0)
    remediated, apart = grids([drill(), waited])
    assert [row[0] for row in remediated.rows] == [row[0] for row in apart.rows]
    assert apart.rows[0][1] == "TradingVenueDown"
    assert list(apart.rows[0][5:8]) == ["5.62", "45.00", "62.00"]
    lines = summary([drill(), waited])
    assert lines[0] == "1 of 1 drills passed within their limits."
    assert lines[1].startswith("1 of 1 suppressed")
    assert "closed after 11.60 s and 11.60 s" in lines[2]
    assert "| TradingBotDown, during TradingVenueDown |" in page(record(drill(), waited))


def test_a_drill_that_people_end_has_a_table_of_its_own() -> None:
    """It was tried without success: the operator's time is in no median of automation."""
    stages = REMEDIATED | {"escalated": 38.0, "settled": 48.0, "closed": 54.5}
    escalated = drill("TradingBotPositionDrift", escalated=True, stages=stages, total_seconds=54.5)
    twin = drill("TradingBotPositionDrift", escalated=True, paused=True, total_seconds=None)
    remediated, apart = grids([drill(), escalated, twin])
    assert [row[0] for row in remediated.rows] == ["TradingBotDown"]
    [row] = apart.rows
    assert row[1:8] == ["0.00", "3.50", "5.60", "5.62", "38.00", "48.00", "54.50"]
    assert row[8:] == ["45", "broken after 45", "closed"]
    lines = summary([drill(), escalated, twin])
    assert lines[0] == "2 of 2 drills passed within their limits."
    assert lines[2].startswith("1 of 1 escalated")
    assert "closed after 11.60 s and 11.60 s" in lines[3]


def test_a_drill_that_this_machine_cannot_have_is_reported_and_counted_nowhere() -> None:
    """It is not a failure and no success; why it was not run stands in a table of its own."""
    why = "not possible here: others are on the disk"
    absent = drill(
        "TradingBotDiskLow", not_possible=True, passed=False, problem=why, total_seconds=None
    )
    remediated, apart = grids([drill(), absent])
    assert [row[0] for row in remediated.rows] == ["TradingBotDown"]
    assert list(apart.rows) == [("TradingBotDiskLow", why)]
    lines = summary([drill(), absent])
    assert lines[:2] == [
        "1 of 1 drills passed within their limits.",
        "1 were not run: this machine does not support them.",
    ]
    assert page(record(drill(), absent)).count("TradingBotDiskLow") == 1


def test_a_disconnected_client_starts_when_the_fault_is_cleared() -> None:
    """What was heard of by then waited for the drill's own hand, not for us."""
    stages = {"injected": 0.0, "received": 9.0, "removed": 99.0, "noticed": 99.25, "closed": 110.0}
    paged = drill(page_only=True, notifications_blocked=True, stages=stages)
    assert paged.remediation_seconds == pytest.approx(0.25)
    late = drill(page_only=True, notifications_blocked=True, stages=stages | {"received": 99.2})
    assert late.remediation_seconds == pytest.approx(0.05)
    assert drill(page_only=True, stages=stages).remediation_seconds == pytest.approx(90.25)


def test_what_is_run_again_takes_the_place_of_what_was_and_the_rest_stays() -> None:
    """All runs of one drill go together; an earlier day of which nothing is left is not named."""
    first = record(drill(), drill(paused=True), left())
    second = record(drill(total_seconds=99.0)).after(first)
    assert [len(run.drills) for run in second.runs] == [1, 1]
    assert [result.total_seconds for result in second.all_drills if not result.page_only] == [99.0]
    text = page(second)
    assert text.count("- When: ") == 2
    assert "- Which: TradingVenueDown" in text
    third = record(left()).after(second)
    assert [run.drills for run in third.before] == [[drill(total_seconds=99.0)]]


def test_a_record_that_cannot_be_read_is_reported_by_its_name(tmp_path: Path) -> None:
    """Rather than written over."""
    assert read(tmp_path) is None
    (tmp_path / FILE).write_text("{", encoding="utf-8")
    with pytest.raises(SetupError, match=FILE):
        read(tmp_path)


def test_the_newest_disaster_recovery_stays_until_it_is_run_again() -> None:
    """A day without it keeps the earlier one, with the run in which it was measured."""
    stages = [RecordedMark("lost", 0.0), RecordedMark("restored", 1.5), RecordedMark("ready", 9.25)]
    lost = RecordedDisaster(
        at=datetime(2026, 3, 1, tzinfo=UTC),
        passed=True,
        limit_seconds=300.0,
        seconds=9.25,
        timeline=stages,
    )
    first = msgspec.structs.replace(record(), disaster=lost)
    second = record(drill()).after(first)
    assert second.last_disaster == lost
    assert ["ready", "9.25"] in [
        [cell.strip() for cell in line.split("|")[1:3]] for line in page(second).splitlines()
    ]
    assert "- Which: DisasterRecovery" in page(second)
    again = msgspec.structs.replace(lost, seconds=8.0)
    third = msgspec.structs.replace(record(), disaster=again).after(second)
    assert [run.disaster for run in third.runs] == [again, None]


def test_the_same_drill_of_another_bot_is_kept_and_has_a_row_of_its_own() -> None:
    """With its own twin, and in no place of the first one's."""
    held: dict[str, Any] = {"paused": True, "total_seconds": None, "stages": {"injected": 0.0}}
    first = record(drill(), drill(**held))
    other = record(drill(target="gamma"), drill(target="gamma", **held, passed=False, problem="x"))
    both = other.after(first)
    assert len(both.all_drills) == 4
    (grid,) = grids(both.all_drills)
    names = [row[0] for row in grid.rows]
    assert names == ["TradingBotDown", "TradingBotDown on gamma"]
    stayed = [row[list(grid.columns).index("automation paused")] for row in grid.rows]
    assert stayed[0] != stayed[1]
    again = record(drill(target="gamma", total_seconds=9.0)).after(both)
    assert [found.total_seconds for found in again.all_drills] == [11.6, None, 9.0]
