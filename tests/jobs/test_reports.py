"""What a report covers that is sent late, again, or after a failure."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from freezegun import freeze_time
from prometheus_client import CollectorRegistry

from tests.free_ports import free_port
from tests.jobs.day import simulated
from tests.jobs.spans import NOTIFY, Spans
from trading_ops.capacity.limits import Choices
from trading_ops.capacity.read import Capacity
from trading_ops.clients.http import Http
from trading_ops.clients.prometheus import Prometheus
from trading_ops.domain.bot_event import BotEvent, BotEventKind
from trading_ops.domain.decision import Pause
from trading_ops.domain.job import JobOutcome
from trading_ops.domain.message import MessageKind, Severity
from trading_ops.domain.report import Period, Report
from trading_ops.jobs.config import load_jobs
from trading_ops.jobs.job import Context, JobResult
from trading_ops.jobs.schedule import last_due, next_due, parse
from trading_ops.jobs.scheduler import Scheduler
from trading_ops.notify.config import zone_of
from trading_ops.notify.outbox import Outbox
from trading_ops.reconciler.metrics import OutboxMetrics
from trading_ops.reports.sending import ReportSender
from trading_ops.store import bot_events, maintenance, messages
from trading_ops.store.bot_events import JournalPosition
from trading_ops.store.search import TimeRange

BEGIN = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
NIGHTLY = '{schedule: "55 23 * * *", zone: UTC}'
At = Callable[[str], Any]


@asynccontextmanager
async def days(folder: Path, job: Spans, yaml: str) -> AsyncIterator[tuple[Scheduler, At]]:
    """A scheduler, and a call that makes one pass at a time, as in `await at("03-02 23:55")`."""
    (folder / "notify.yml").write_text(NOTIFY)
    (folder / "jobs.yml").write_text(f"jobs:\n  {job.name}: {yaml}\n")
    entries = {job.name: load_jobs(folder).entries[job.name]}
    with (
        simulated(folder, entries, job) as (scheduler, lease),
        freeze_time(BEGIN, real_asyncio=True) as frozen,
    ):
        await lease.begin()
        await scheduler.pass_once()

        async def at(moment: str) -> None:
            frozen.move_to(time(moment))
            await lease.hold(())
            await scheduler.pass_once()
            await scheduler.stop(within=60)

        yield scheduler, at
        await lease.end()


def time(text: str) -> datetime:
    """Return `03-02 23:55` of 2026, in UTC."""
    return datetime.fromisoformat(f"2026-{text}Z")


async def test_a_report_sent_late_is_about_the_time_until_it_was_due(tmp_path: Path) -> None:
    """Due at 23:55, sent at 02:00: the next one still follows it without a gap."""
    job = Spans("report_daily")
    async with days(tmp_path, job, NIGHTLY) as (_, at):
        for moment in ("03-02 23:55", "03-04 02:00", "03-04 23:55"):
            await at(moment)
    ends = [time(text) for text in ("03-01 23:55", "03-02 23:55", "03-03 23:55", "03-04 23:55")]
    assert job.found == list(pairwise(ends))


async def test_days_without_a_report_are_in_the_next_one(tmp_path: Path) -> None:
    """After an outage of three nights, and after a report that failed."""
    job = Spans("report_daily")
    async with days(tmp_path, job, NIGHTLY) as (_, at):
        await at("03-02 23:55")
        await at("03-05 23:56")
        job.outcome = JobOutcome.FAILED
        await at("03-06 23:55")
        job.outcome = JobOutcome.DONE
        await at("03-07 23:55")
    ends = [time(text) for text in ("03-01 23:55", "03-02 23:55", "03-05 23:55", "03-07 23:55")]
    assert job.found == list(pairwise(ends))


@dataclass
class Sending(Spans):
    """Sends the reports that it plans, and keeps them."""

    sender: ReportSender | None = None
    reports: list[Report] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    async def run(self, context: Context) -> JobResult:
        """Pass the report to the outbox."""
        result = await super().run(context)
        if result.outcome is JobOutcome.DONE:
            assert self.sender is not None
            span = self.found[-1]
            assert await self.sender.send(Period.DAILY, None, span) == ["mail"]
            report, rendered = await self.sender.show(Period.DAILY, None, span)
            self.reports.append(report)
            self.texts.append(rendered.text)
        return result


def trade(at: datetime, profit: int) -> BotEvent:
    return BotEvent(
        bot="alpha",
        event=f"trade {profit}",
        kind=BotEventKind.TRADE,
        severity=Severity.INFO,
        at=at,
        received_at=at,
        strategy="",
        symbol="ETH/USD",
        order_id="",
        correlation="",
        summary="sold",
        data={"currency": "USD", "profit": str(profit)},
    )


PROFITS = {
    "03-01 23:54:59.999999": 1,  # before the first report
    "03-01 23:55": 2,  # each on the limit of two reports
    "03-02 12:00": 4,
    "03-02 23:54:59.999999": 8,
    "03-02 23:55": 16,
    "03-03 01:30": 32,  # after the first one was due, before it was sent
    "03-03 23:54:59.999999": 64,
    "03-03 23:55": 128,  # after the second report
}


async def test_each_trade_is_in_exactly_one_of_two_reports(tmp_path: Path) -> None:
    """The reports that the job sends, of the trades in the store; the first one is sent late."""
    job = Sending("report_daily")
    async with days(tmp_path, job, NIGHTLY) as (scheduler, at), aiohttp.ClientSession() as session:
        outbox = Outbox(
            config_path=tmp_path / "notify.yml",
            urls_path=tmp_path / "urls",
            writer=scheduler.writer,
            reader=scheduler.reader,
            metrics=OutboxMetrics(CollectorRegistry()),
        )
        nobody = Prometheus(Http(session, f"http://127.0.0.1:{free_port()}"))
        job.sender = ReportSender(
            prometheus=nobody,
            reader=scheduler.reader,
            outbox=outbox,
            bots=("alpha",),
            capacity=Capacity(nobody, Choices),
        )
        trades = [trade(time(moment), profit) for moment, profit in PROFITS.items()]
        position = JournalPosition(journal="a", number=len(trades))
        stored = partial(bot_events.store, bot="alpha", found=trades, position=position, drafts=())
        await scheduler.writer.run(partial(stored, now=BEGIN))
        for moment in ("03-03 02:00", "03-03 23:55", "03-03 23:56"):
            await at(moment)
        listed = partial(messages.search, kind=MessageKind.REPORT, span=TimeRange())
        sent = await scheduler.reader.read(listed)
    assert sorted(message.text for message in sent) == sorted(job.texts)
    assert len(sent) == 2
    profits = [sum(line.profit or 0 for line in report.trades) for report in job.reports]
    assert profits == [2 + 4 + 8, 16 + 32 + 64]
    assert [sum(line.trades for line in report.trades) for report in job.reports] == [3, 3]


async def test_a_pause_over_midnight_delays_the_report_of_the_day(tmp_path: Path) -> None:
    job = Spans("report_daily")
    async with days(tmp_path, job, NIGHTLY) as (scheduler, at):
        await at("03-02 23:55")
        pause = Pause(owner="ann", reason="a test", expires_at=time("03-09 12:00"))
        await scheduler.writer.run(partial(maintenance.begin_pause, pause=pause, now=BEGIN))
        await at("03-03 23:56")
        assert len(job.found) == 1
        await scheduler.writer.run(partial(maintenance.end_pause, owner="ann", now=BEGIN))
        await at("03-04 03:00")
    assert job.found[1:] == [(time("03-02 23:55"), time("03-03 23:55"))]


async def test_a_report_that_was_sent_is_not_sent_again_by_hand(tmp_path: Path) -> None:
    """A failed one is: `jobs run` sends the report that was due."""
    job = Spans("report_daily", outcome=JobOutcome.FAILED)
    async with days(tmp_path, job, NIGHTLY) as (scheduler, at):
        await at("03-02 23:55")
        await at("03-03 09:00")
        job.outcome = JobOutcome.DONE
        for _ in range(2):
            await scheduler.start(job.name, owner="ann")
            await scheduler.stop(within=60)
    assert job.found == [(time("03-01 23:55"), time("03-02 23:55"))]


@pytest.mark.parametrize(
    ("name", "yaml", "late", "day"),
    [
        ("report_weekly", '{schedule: "0 6 * * 1"}', "03-10 13:00", "2026-03-08"),
        ("report_monthly", '{schedule: "10 6 1 * *"}', "04-02 15:00", "2026-03-31"),
        ("report_quarterly", '{schedule: "20 6 1 1,4,7,10 *"}', "04-03 15:00", "2026-03-31"),
    ],
)
async def test_a_late_report_is_about_the_period_that_ended(
    tmp_path: Path, name: str, yaml: str, late: str, day: str
) -> None:
    """On a Tuesday it is about last week, on the second about last month."""
    job = Spans(name)
    async with days(tmp_path, job, yaml) as (_, at):
        await at(late)
    assert job.days == [day]


def test_reports_are_due_in_the_time_zone_of_the_messages(tmp_path: Path) -> None:
    """Their days are of that zone; other jobs, and a zone that is given, are not changed."""
    notify = tmp_path / "notify.yml"
    notify.write_text(NOTIFY)
    (tmp_path / "jobs.yml").write_text("jobs:\n  report_weekly: {zone: Asia/Tokyo}\n")
    entries = load_jobs(tmp_path, reports_zone=zone_of(notify)).entries
    zones = {name: str(entry.schedule).split()[-1] for name, entry in entries.items()}
    assert zones["report_daily"] == "America/New_York"
    assert zones["report_weekly"] == "Asia/Tokyo"
    assert zones["clean_up"] == "UTC"
    notify.write_text("routes: 1")
    assert zone_of(notify) == zone_of(tmp_path / "none") == "UTC"


@pytest.mark.parametrize(
    "text", ["* * * * *", "55 23 * * *", "30 2 * * *", "0 6 * * 1", "10 6 1 * *", "20 6 1 1,7 *"]
)
def test_the_last_due_time_is_the_one_before_the_next(text: str) -> None:
    """In a zone with clock changes, from both."""
    schedule = parse(text, "America/New_York")
    for now in (time("03-08 12:00"), time("11-01 06:30"), time("07-01 10:10")):
        found = last_due(schedule, now)
        assert found is not None
        assert found <= now
        following = next_due(schedule, found, found)
        assert following is not None
        assert following > now
        assert last_due(schedule, found) == found
        assert last_due(schedule, following - timedelta(seconds=1)) == found
