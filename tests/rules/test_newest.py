"""The record of the drills on two generations of Prometheus and Alertmanager, and its table."""

import subprocess
from pathlib import Path

import pytest
from msgspec import structs

from tests.newest.record import (
    BEGIN,
    DRILLS,
    END,
    PAGE,
    Generation,
    merged,
    read,
    seconds_of,
    with_table,
)
from tests.rules.configuration import ROOT, RUNBOOKS
from trading_ops.reconciler.runbook_index import load_runbooks
from trading_ops_lab.drills.gameday_page import read as read_game_day

SCRIPT = ROOT / "scripts" / "test-newest.sh"
OLD = Generation(
    prometheus="2.42.0+ds",
    alertmanager="0.25.0",
    measured="2026-01-02",
    seconds=dict.fromkeys(DRILLS, 10.0),
)


def test_the_page_shows_what_is_kept() -> None:
    """Both generations, and all eight drills of each."""
    page = PAGE.read_text(encoding="utf-8")
    kept = read()
    assert with_table(page, kept) == page
    assert len(kept) >= 2
    assert all(set(record.seconds) == set(DRILLS) for record in kept)


def test_a_run_replaces_the_one_on_the_same_engines() -> None:
    """The oldest version comes first, by number and not by letter."""
    new = Generation(
        prometheus="3.14.0", alertmanager="0.34.1", measured="2026-01-03", seconds=OLD.seconds
    )
    again = Generation(
        prometheus="2.42.0+ds", alertmanager="0.25.0", measured="2026-01-04", seconds=OLD.seconds
    )
    assert merged(merged(merged([], new), OLD), again) == [again, new]
    shown = with_table(f"before\n{BEGIN}old\n{END}after\n", [again, new])
    assert shown.startswith("before\n")
    assert shown.endswith("after\n")
    assert "| TradingBotDown | 10.0 | 10.0 |" in shown
    assert "old" not in shown


def test_a_drill_that_waited_for_another_alert_is_not_compared() -> None:
    """A game day runs TradingBotDown once more while its venue is down, which takes a minute."""
    record = read_game_day(PAGE.parent)
    assert record
    drill = next(drill for run in (record, *record.before) for drill in run.drills)
    plain = structs.replace(drill, alert="TradingBotDown", during="", total_seconds=15.04)
    waited = structs.replace(plain, during="TradingVenueDown", total_seconds=75.4)
    assert seconds_of([plain, waited]) == {"TradingBotDown": 15.0}


def test_each_of_the_eight_is_a_drill() -> None:
    """A runbook that loses its drill is noticed here."""
    books = load_runbooks(RUNBOOKS)
    assert len(DRILLS) == 8
    assert all(books[alert].drill for alert in DRILLS)


@pytest.mark.parametrize("given", [[], ["{folder}"]])
def test_missing_engines_are_named(given: list[str], tmp_path: Path) -> None:
    """Before anything is started."""
    arguments = [argument.format(folder=tmp_path) for argument in given]
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "make test-newest BINARIES" in done.stderr or "has no prometheus" in done.stderr
