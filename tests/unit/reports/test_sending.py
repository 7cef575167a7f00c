"""A report as it is shown, whole, and the spans that reports cover."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from trading_ops.domain.report import (
    BackupFigures,
    BotFigures,
    IncidentLine,
    LimitUse,
    Period,
    Ratio,
    Report,
    ResponseFigures,
    ServiceLevel,
    TradeFigures,
    default_day,
    span_of,
)
from trading_ops.notify.rendering import MISSING, Renderer
from trading_ops.reports.sending import message_of

NEW_YORK = ZoneInfo("America/New_York")
GOLDEN = Path(__file__).parent / "daily_report.txt"
HOSTILE = "<script>alert(1)</script>"

REPORT = Report(
    period=Period.DAILY,
    since=datetime(2026, 3, 2, 5, 0, tzinfo=UTC),
    until=datetime(2026, 3, 2, 21, 30, tzinfo=UTC),
    bots=(
        BotFigures(
            bot="alpha",
            currency="USD",
            result=1234.5,
            unrealized=-20.25,
            equity=51234.0,
            exposure=4000.0,
            open_positions=2,
            worst_daily_loss=310.0,
            orders_filled=17,
            trades_closed=None,
            win_ratio=None,
        ),
        BotFigures(
            bot="freq",
            currency="USD",
            result=-34.5,
            unrealized=None,
            equity=None,
            exposure=None,
            open_positions=0,
            worst_daily_loss=None,
            orders_filled=None,
            trades_closed=8,
            win_ratio=0.625,
        ),
    ),
    trades=(
        TradeFigures(
            bot="alpha",
            currency="USD",
            trades=17,
            closed=8,
            win_ratio=0.625,
            profit=1234.5,
            profit_factor=2.5,
            fees=4.1,
            slippage=None,
        ),
    ),
    results=(("USD", 1200.0),),
    limits=(LimitUse(bot="alpha", limit="daily_loss", ratio=0.31),),
    response=ResponseFigures(
        incidents=2, remediated=1, escalated=1, mtta_seconds=1.5, mttr_seconds=16.5
    ),
    previous=None,
    by_alert=(("TradingBotDown", 2),),
    incidents=(
        IncidentLine(
            id="1a2b3c4d",
            alert="TradingBotDown",
            target="alpha",
            opened_at=datetime(2026, 3, 2, 15, 0, tzinfo=UTC),
            seconds=16.5,
            escalated=False,
            actions=("restart_bot verified",),
        ),
        IncidentLine(
            id="5e6f7a8b",
            alert="TradingVenueDown",
            target=HOSTILE,
            opened_at=datetime(2026, 3, 2, 14, 0, tzinfo=UTC),
            seconds=None,
            escalated=True,
            actions=(),
        ),
    ),
    open=(f"alpha is halted by ann: {HOSTILE}",),
    budgets=(Ratio(name="availability", ratio=0.87),),
    levels=(),
    level_queries={},
    disks=(Ratio(name="e:1 /", ratio=0.42),),
    backups=BackupFigures(
        kept=12,
        damaged=1,
        bytes=48_200_000,
        recoverable_to=datetime(2026, 3, 2, 21, 25, tzinfo=UTC),
        restore_tested_at=datetime(2026, 3, 2, 8, 0, tzinfo=UTC),
        restore_seconds=2.4,
    ),
    missing=("fees per trade",),
)


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
    kept = ServiceLevel(
        bot="alpha",
        slo="availability",
        objective=0.999,
        ratio=0.999996,
        budget=0.001,
        spent=0.004,
        left=0.996,
        measured=0.98,
    )
    absent = replace(kept, slo="nonces", ratio=None, spent=None, left=None, measured=0.0)
    made = Renderer(zone=NEW_YORK).message(message_of(replace(REPORT, levels=(kept, absent))))
    rows = [line.split() for line in made.text.splitlines()]
    percent = ("99.9", "99.999", "0.1", "0.4", "99.6", "98.0")
    assert ["availability", *(cell for one in percent for cell in (one, "%"))] in rows
    assert ["nonces", "99.9", "%", MISSING, "0.1", "%", MISSING, MISSING, "0.0", "%"] in rows
    assert "99.999 %" in made.html


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
    assert found == [datetime.fromisoformat(one) for one in (first, last)]


def test_on_the_first_day_of_a_week_the_last_week_is_meant() -> None:
    monday = date(2026, 3, 9)
    assert default_day(Period.DAILY, monday) == monday
    assert default_day(Period.WEEKLY, monday) == monday - timedelta(days=1)
