"""No collector can take the others, a scrape, or the end of the process with it."""

import asyncio
import contextlib
import threading
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import aiohttp
import pytest
from freezegun import freeze_time
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.samples import Sample
from structlog.testing import capture_logs

from tests.service.exporter.venues import FakeVenue
from tests.waiting import eventually
from trading_ops.exporter.collector import (
    LARGEST_FAMILIES,
    LARGEST_SERIES,
    LOG_AGAIN_SECONDS,
    MergedCollector,
    PolledSource,
)
from trading_ops.exporter.config import VenueEntry
from trading_ops.exporter.host.source import disk_sources
from trading_ops.exporter.threaded_source import Look, ThreadedSource, all_of
from trading_ops.exporter.venue import Venue


class Disk:
    """A look at the host that hangs as one at a dead network disk does."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.looks = 0

    def __call__(self) -> Iterable[Metric]:
        self.looks += 1
        self.answers.wait(20)
        return [GaugeMetricFamily("figure", "A figure.", value=1)]


def in_a_hurry(name: str, look: Look) -> PolledSource:
    return PolledSource(ThreadedSource(name, look, interval_seconds=0.05, timeout_seconds=0.01))


async def test_a_disk_that_hangs_holds_one_thread() -> None:
    """However often the host is read meanwhile; when the disk is back, so are the figures."""
    disk = Disk()
    watched = in_a_hurry("disk", disk)
    for _ in range(5):
        await watched.once()
    assert (disk.looks, watched.failures, watched.up) == (1, 5, False)
    assert not watched.figures()
    disk.answers.set()

    async def is_up() -> bool:
        await watched.once()
        return watched.up

    await eventually(is_up)
    assert [family.name for family in watched.figures()] == ["figure"]
    assert watched.last_success > 0


async def test_a_look_that_fails_is_reported(tmp_path: Path) -> None:
    """A folder that is gone is a failure of the reading, and not of its thread."""
    (source,) = disk_sources([tmp_path / "gone"])
    watched = PolledSource(source)
    await watched.once()
    assert (watched.up, watched.failures) == (False, 1)
    assert "gone" in watched.problem


async def test_the_log_has_the_current_reason() -> None:
    """A collector that fails for another reason than at first logs it, once a minute at most."""
    reasons = iter(["connection refused", "HTTP 401", "HTTP 401", "HTTP 401"])

    def broken() -> Iterable[Metric]:
        raise OSError(next(reasons))

    watched = PolledSource(ThreadedSource("broken", broken, interval_seconds=1, timeout_seconds=20))
    with freeze_time(tick=True) as frozen, capture_logs() as lines:
        for pause in (0, 1, LOG_AGAIN_SECONDS, LOG_AGAIN_SECONDS):
            frozen.tick(pause)
            await watched.once()
    assert [line["reason"] for line in lines] == ["connection refused", "HTTP 401"]


async def test_a_part_that_fails_costs_only_itself() -> None:
    """Of a collector that reads several things the others are exported, and it counts as failed."""

    def broken() -> Iterable[Metric]:
        raise OSError("no such file")

    def well() -> Iterable[Metric]:
        return [GaugeMetricFamily("figure", "A figure.", value=1)]

    look = partial(all_of, {"one": broken, "two": well})
    watched = PolledSource(ThreadedSource("both", look, interval_seconds=1, timeout_seconds=5))
    await watched.once()
    assert (watched.up, watched.problem) == (False, "one: no such file")
    assert [family.name for family in watched.figures()] == ["figure"]


class Source:
    """One of which a test says what it does."""

    interval_seconds = 0.02
    timeout_seconds = 0.05

    def __init__(self, name: str, families: Sequence[Metric] = ()) -> None:
        self.name = name
        self.given = families

    async def read(self) -> None:
        if self.name == "hanging":
            await asyncio.Event().wait()
        if self.name == "raising":
            raise RuntimeError("broken")

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        return self.given


def series(name: str, length: int) -> Metric:
    family = GaugeMetricFamily(name, "A figure.", labels=("number",))
    for number in range(length):
        family.add_metric((str(number),), number)
    return family


async def test_bad_sources_leave_the_good_one_alone() -> None:
    """One hangs, one raises, one floods: the good one is read on, and each is reported."""
    flood = [series("flood", LARGEST_SERIES + 5), series("more", 7)]
    watched = {
        name: PolledSource(Source(name, families))
        for name, families in (
            ("hanging", [series("old", 1)]), ("raising", ()), ("flooding", flood),
            ("good", [series("figure", 3)]),
        )
    }  # fmt: skip
    tasks = [asyncio.create_task(collector.run()) for collector in watched.values()]
    await eventually(lambda: watched["hanging"].failures > 2 and watched["raising"].failures > 2)
    began = watched["good"].last_success
    await eventually(lambda: watched["good"].last_success > began)
    families = {family.name: family for family in MergedCollector(list(watched.values())).collect()}
    assert len(families["figure"].samples) == 3
    assert len(families["flood"].samples) == LARGEST_SERIES
    assert not families["more"].samples
    scores = {
        name: {sample.labels["collector"]: sample.value for sample in families[name].samples}
        for name in families
        if name.startswith("trading_exporter_collector")
    }
    assert scores["trading_exporter_collector_dropped_series"] == {
        "hanging": 0, "raising": 0, "flooding": 12, "good": 0,
    }  # fmt: skip
    up = scores["trading_exporter_collector_up"]
    assert up == {"hanging": 0, "raising": 0, "flooding": 1, "good": 1}
    assert scores["trading_exporter_collector_duration_seconds"]["hanging"] >= 0.05
    assert watched["hanging"].problem == "not done within 0.05 s"
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def test_families_without_an_end_are_cut_off() -> None:
    """A source that yields for ever keeps no scrape waiting, and it shows."""
    source = Source("endless")
    source.given = (series(f"figure_{number}", 1) for number in count())  # type: ignore[assignment]
    watched = PolledSource(source)
    assert len(watched.figures()) == LARGEST_FAMILIES
    assert watched.left_out == 1


async def test_what_cannot_be_written_spoils_no_scrape() -> None:
    """A label that is no text, too long or no Unicode, a value that is not a number: left out."""
    poison = GaugeMetricFamily("figure", "A figure.", labels=("name",))
    poison.add_metric(("fine",), 1)
    poison.add_metric(("\udcff",), 2)
    poison.add_metric(("x" * 10_000,), 3)
    poison.samples.append(Sample("figure", {"name": None}, 4.0))  # type: ignore[dict-item]
    poison.samples.append(Sample("figure", {"name": "none"}, None))  # type: ignore[arg-type]
    watched = PolledSource(Source("poisoned", [poison]))
    for _ in range(2):  # the source keeps its families from scrape to scrape
        registry = CollectorRegistry()
        registry.register(MergedCollector([watched]))
        lines = generate_latest(registry).decode().splitlines()
        assert [line for line in lines if line.startswith("figure")] == ['figure{name="fine"} 1.0']
        left_out = "trading_exporter_collector_dropped_series"
        assert f'{left_out}{{collector="poisoned"}} 4.0' in lines


class Mute:
    """A source that reads well and cannot tell it."""

    name = "mute"
    interval_seconds = timeout_seconds = 1.0

    async def read(self) -> None:
        pass

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        yield GaugeMetricFamily("half", "A figure.", value=fresh)
        raise RuntimeError("broken")


class Loud(Mute):
    """One that is healthy."""

    name = "loud"

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        return [GaugeMetricFamily("whole", "A figure.", value=fresh)]


async def test_a_source_that_cannot_report_costs_no_scrape(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its figures are absent, all of them; each time counts as its failure, the first is logged."""
    sources = [PolledSource(Mute()), PolledSource(Loud())]
    for source in sources:
        await source.once()
    exported = {family.name: family for family in MergedCollector(sources).collect()}
    assert "whole" in exported
    assert "half" not in exported
    failures = exported["trading_exporter_collector_failures"].samples
    assert {failure.labels["collector"]: failure.value for failure in failures} == {
        "mute": 1,
        "loud": 0,
    }
    for _ in range(3):
        assert not sources[0].figures()
    assert sources[0].failures == 4
    output = capsys.readouterr()
    assert (output.out + output.err).count("collector_metrics_failed") == 1


async def test_an_endless_answer_of_a_venue_is_cut_off() -> None:
    """Not more than a status page is read from it."""
    venue = FakeVenue()
    venue.body = {"error": [], "result": {"status": "online", "more": "x" * 100_000}}
    async with venue.serving() as address, aiohttp.ClientSession() as session:
        watched = PolledSource(Venue(VenueEntry("paper", address), session))
        await watched.once()
    assert (watched.up, watched.failures) == (False, 1)


async def test_what_never_ends_ends_with_its_task() -> None:
    """A source that swallows nothing is stopped while it waits."""
    venue = FakeVenue()
    venue.hangs = True
    async with venue.serving() as address, aiohttp.ClientSession() as session:
        task = asyncio.create_task(PolledSource(Venue(VenueEntry("paper", address), session)).run())
        await eventually(lambda: venue.cookies)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
