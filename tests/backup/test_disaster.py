"""Disaster recovery: `var` is deleted under load, and everything comes back from the repository."""

from pathlib import Path

import pytest

from trading_ops_lab.drills.disaster import run_disaster_drill
from trading_ops_lab.drills.recorded_drills import RecordedMark

STAGES = ["lost", "restored", "verified", "ready", "trading"]


@pytest.mark.long
def test_var_is_deleted_under_load() -> None:
    """Docs: docs/disaster-recovery.md."""
    marks: list[RecordedMark] = []
    found = run_disaster_drill(marks.append)
    assert found.passed, found
    assert [mark.stage for mark in marks] == STAGES
    assert marks == found.timeline


@pytest.mark.processes
def test_the_page_says_what_the_commands_are() -> None:
    """The steps of the page, in the order in which the drill takes them."""
    page = (Path(__file__).parents[2] / "docs" / "disaster-recovery.md").read_text("utf-8")
    steps = ("restore latest --in-place", "audit verify", "make up", "trading-ops resume")
    places = [page.index(step) for step in steps]
    assert places == sorted(places)
