"""A report as it is shown, whole, and the spans that reports cover."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.mails.samples import LEVEL, QUARTER, REPORT
from trading_ops.domain.report import Period, default_day, span_of
from trading_ops.notify.rendering import MISSING, Renderer
from trading_ops.reports.sending import message_of

NEW_YORK = ZoneInfo("America/New_York")
GOLDEN = Path(__file__).parent / "daily_report.txt"


def test_a_daily_report_is_shown_whole() -> None:
    """Compared with daily_report.txt; what is not measured is a dash."""
    made = Renderer(zone=NEW_YORK).message(message_of(REPORT))
    assert made.subject == "Daily report: +1,200.00 USD, 2 incidents, 1 open"
    assert made.text == GOLDEN.read_text("utf-8")


def test_its_html_shows_the_same_and_is_inert() -> None:
    made = Renderer(zone=NEW_YORK).message(message_of(REPORT))
    assert "<script" not in made.html
    for text in ("1,234.50 USD", "62.5 %", "restart_bot verified", "TradingVenueDown on &lt;"):
        assert text in made.html


def test_a_monthly_report_lists_each_objective() -> None:
    """What was not measured is a dash beside the share of data, not a full budget."""
    absent = replace(LEVEL, slo="nonces", ratio=None, spent=None, left=None, measured=0.0)
    made = Renderer(zone=NEW_YORK).message(message_of(replace(REPORT, levels=(LEVEL, absent))))
    rows = [line.split() for line in made.text.splitlines()]
    percent = ("99.9", "99.999", "0.1", "0.4", "99.6", "98.0")
    assert ["availability", *(cell for number in percent for cell in (number, "%"))] in rows
    assert ["nonces", "99.9", "%", MISSING, "0.1", "%", MISSING, MISSING, "0.0", "%"] in rows
    assert "99.999 %" in made.html


def test_a_quarter_has_trends_suggestions_and_capacity() -> None:
    """In both forms; with nothing due it says so."""
    made = Renderer(zone=NEW_YORK).message(message_of(QUARTER))
    calm = Renderer(zone=NEW_YORK).message(message_of(replace(QUARTER, capacity=())))
    for shown in (made.text, made.html):
        assert "Previous period: -310.00 USD" in shown
        assert "all 7 incidents ended without an action" in shown
        assert "full in 23 days" in shown
    assert "No resource is near its limit." in calm.text
    assert "No resource is near its limit." in calm.html


def test_nothing_measured_is_reported() -> None:
    """Never 0, which would be a result."""
    bare = replace(REPORT, bots=(), results=(), limits=(), budgets=(), disks=())
    made = Renderer(zone=NEW_YORK).message(message_of(bare))
    assert "result not measured" in made.subject
    assert "Not measured." in made.text


@pytest.mark.parametrize(
    ("period", "day", "first", "last"),
    [
        (Period.DAILY, date(2026, 3, 8), "2026-03-08T05:00Z", "2026-03-09T04:00Z"),  # 23 hours
        (Period.WEEKLY, date(2026, 3, 8), "2026-03-02T05:00Z", "2026-03-09T04:00Z"),
        (Period.MONTHLY, date(2026, 12, 31), "2026-12-01T05:00Z", "2027-01-01T05:00Z"),
        (Period.QUARTERLY, date(2026, 5, 17), "2026-04-01T04:00Z", "2026-07-01T04:00Z"),
        (Period.QUARTERLY, date(2026, 10, 1), "2026-10-01T04:00Z", "2027-01-01T05:00Z"),
    ],
)
def test_spans_are_of_the_calendar(period: Period, day: date, first: str, last: str) -> None:
    found = [moment.astimezone(UTC) for moment in span_of(period, day, NEW_YORK)]
    assert found == [datetime.fromisoformat(text) for text in (first, last)]


def test_on_the_first_day_of_a_week_the_last_week_is_meant() -> None:
    monday = date(2026, 3, 9)
    assert default_day(Period.DAILY, monday) == monday
    assert default_day(Period.WEEKLY, monday) == monday - timedelta(days=1)
