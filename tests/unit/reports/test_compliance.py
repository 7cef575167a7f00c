"""The compliance report, from a real store and a Prometheus that answers or does not."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from tests.builders import NOW, ago
from trading_ops.clients.prometheus import Prometheus
from trading_ops.errors import ClientError
from trading_ops.reports.compliance import Compliance, lines_of, make_compliance, months_of
from trading_ops.store import approvals, events, migrate
from trading_ops.store.engine import writing_engine
from trading_ops.store.reader import open_reader
from trading_ops.store.writer import transaction


class NoPrometheus:
    """It does not answer."""

    async def query(self, *_arguments: object, **_options: object) -> None:
        raise ClientError("prometheus does not answer")


async def made(url: str, since: datetime) -> Compliance:
    with open_reader(url) as reader:
        return await make_compliance(
            cast(Prometheus, NoPrometheus()), reader, bots=["alpha"], since=since, until=NOW
        )


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database with a halt, an approval and a restore test, and one event before the period."""
    url = f"sqlite:///{tmp_path / 'db'}"
    migrate.upgrade(url)
    engine = writing_engine(url)
    with transaction(engine, b"key") as connection:
        events.add(connection, at=ago(7200), kind="hold_placed", actor="eve", note="too early")
        events.add(connection, at=ago(60), kind="hold_placed", actor="ada", note="alpha")
        events.add(connection, at=ago(50), kind="hold_placed", actor="ada", note="beta")
        asked = approvals.request(
            connection,
            incident_id=None,
            action="flatten_positions",
            target="alpha",
            params={},
            step=None,
            requested_by="ada",
            now=ago(40),
        )
        approvals.approve(connection, asked.id, owner="ben", now=ago(30))
        events.add(connection, at=ago(20), kind="backup_restore_tested", note="b1")
        events.add(connection, at=ago(10), kind="backup_damaged", note="b0", reason="checksum")
    engine.dispose()
    return url


async def test_it_names_people_approvals_and_restore_tests(url: str) -> None:
    """Of the period only; without Prometheus the objectives are missing, not kept."""
    report = await made(url, ago(3600))
    assert {(row.actor, row.kind): row.count for row in report.done}["ada", "hold_placed"] == 2
    assert "eve" not in {row.actor for row in report.done}
    assert [(approval.kind, approval.actor) for approval in report.approvals] == [
        ("approval_requested", "ada"),
        ("approved", "ben"),
    ]
    assert [(restore_test.kind, restore_test.note) for restore_test in report.restore_tests] == [
        ("backup_restore_tested", "b1"),
        ("backup_damaged", "b0"),
    ]
    assert {month.levels for month in report.months} == {None}
    text = "\n".join(lines_of(report))
    for expected in ("flatten_positions on alpha", "checksum", "not measured", "0 opened"):
        assert expected in text


async def test_an_empty_period_has_a_report(url: str) -> None:
    report = await made(url, NOW - timedelta(seconds=1))
    assert not report.done
    assert not report.approvals
    assert not report.restore_tests
    assert "\n".join(lines_of(report)).count("  none") == 2


def test_months_are_whole_but_the_first_and_the_last() -> None:
    since, until = datetime(2025, 12, 15, tzinfo=UTC), datetime(2026, 2, 3, 12, tzinfo=UTC)
    january, february = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    assert list(months_of(since, until)) == [
        (since, january),
        (january, february),
        (february, until),
    ]
    assert list(months_of(january, february)) == [(january, february)]
