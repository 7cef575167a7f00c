"""No collector can take the others, a scrape, or the end of the process with it."""

import asyncio
import contextlib
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import aiohttp
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from tests.service.exporter.venues import FakeVenue
from tests.waiting import eventually
from trading_ops.exporter.collector import Board, Watched
from trading_ops.exporter.config import VenueEntry
from trading_ops.exporter.host import Host
from trading_ops.exporter.venue import Venue


class Disk:
    """A look at the host that hangs as one at a dead network disk does."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.looks = 0

    def __call__(self, _paths: Sequence[Path]) -> tuple[Metric, ...]:
        self.looks += 1
        self.answers.wait(20)
        return (GaugeMetricFamily("figure", "A figure.", value=1),)


class HostInAHurry(Host):
    """It gives up at once."""

    timeout_seconds = 0.01


async def test_a_disk_that_hangs_holds_one_thread(tmp_path: Path) -> None:
    """However often the host is read meanwhile; when the disk is back, so are the figures."""
    disk = Disk()
    watched = Watched(HostInAHurry([tmp_path], disk))
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


async def test_a_look_that_fails_is_told(tmp_path: Path) -> None:
    """A folder that is gone is a failure of the reading, and not of its thread."""
    watched = Watched(Host([tmp_path / "gone"]))
    await watched.once()
    assert (watched.up, watched.failures) == (False, 1)


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
    """One that is well."""

    name = "loud"

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        return [GaugeMetricFamily("whole", "A figure.", value=fresh)]


async def test_a_source_that_cannot_tell_costs_no_scrape() -> None:
    """Its figures are absent, all of them, and it counts as its failure."""
    sources = [Watched(Mute()), Watched(Loud())]
    for one in sources:
        await one.once()
    told = {family.name: family for family in Board(sources).collect()}
    assert "whole" in told
    assert "half" not in told
    failures = told["trading_exporter_collector_failures"].samples
    assert {one.labels["collector"]: one.value for one in failures} == {"mute": 1, "loud": 0}


async def test_an_endless_answer_of_a_venue_is_cut_off() -> None:
    """Not more than a status page is read from it."""
    venue = FakeVenue()
    venue.body = {"error": [], "result": {"status": "online", "more": "x" * 100_000}}
    async with venue.serving() as address, aiohttp.ClientSession() as session:
        watched = Watched(Venue(VenueEntry("paper", address), session))
        await watched.once()
    assert (watched.up, watched.failures) == (False, 1)


async def test_what_never_ends_ends_with_its_task() -> None:
    """A source that swallows nothing is stopped while it waits."""
    venue = FakeVenue()
    venue.hangs = True
    async with venue.serving() as address, aiohttp.ClientSession() as session:
        task = asyncio.create_task(Watched(Venue(VenueEntry("paper", address), session)).run())
        await eventually(lambda: venue.cookies)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
