import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.service.exporter.venues import FakeVenue
from trading_ops import clock
from trading_ops.errors import ClientError
from trading_ops.exporter.collector import PolledSource
from trading_ops.exporter.config import VenueEntry
from trading_ops.exporter.kraken import result_of
from trading_ops.exporter.venue import Venue, skew


@contextlib.asynccontextmanager
async def watching(address: str, *, timeout_seconds: float = 60.0) -> AsyncIterator[PolledSource]:
    """Poll this venue, by default with a timeout that a loaded machine does not reach."""
    connector = aiohttp.TCPConnector(force_close=True)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as session:
        venue = Venue(VenueEntry("paper", address), session)
        venue.timeout_seconds = timeout_seconds
        yield PolledSource(venue)


def status(watched: PolledSource) -> list[str]:
    return [
        sample.labels["status"]
        for family in watched.source.families(fresh=watched.up)
        for sample in family.samples
        if sample.name == "trading_venue_status" and sample.value
    ]


def figures(watched: PolledSource) -> dict[str, float]:
    return {
        sample.name.removeprefix("trading_venue_"): sample.value
        for family in watched.source.families(fresh=watched.up)
        for sample in family.samples
        if sample.labels == {"venue": "paper"}
    }


async def test_an_online_venue_is_up() -> None:
    """A proper answer is up, with the time it took, when it was, and the clock's skew."""
    venue = FakeVenue()
    venue.unixtime = int(clock.timestamp()) + 100
    async with venue.serving() as address, watching(address) as watched:
        await watched.once()
        seen = figures(watched)
    assert seen["up"] == 1
    assert 0 < seen["probe_duration_seconds"] < 60
    assert seen["last_success_timestamp_seconds"] == pytest.approx(clock.timestamp(), abs=30)
    assert seen["clock_skew_seconds"] == pytest.approx(99.5, abs=1.5)


@pytest.mark.parametrize(
    ("http_status", "body"),
    [
        (200, {"error": [], "result": {"status": "maintenance"}}),
        (200, {"error": ["EService:Unavailable"]}),
        (200, {"error": [], "result": []}),
        (200, ["online"]),
        (503, {"error": [], "result": {"status": "online"}}),
        (520, "<html>"),
    ],
)
async def test_anything_else_is_down(http_status: int, body: object) -> None:
    """One such answer makes it down at once, and the last success stays what it was."""
    venue = FakeVenue()
    async with venue.serving() as address, watching(address) as watched:
        await watched.once()
        success = figures(watched)["last_success_timestamp_seconds"]
        venue.http_status, venue.body = http_status, body
        await watched.once()
        assert figures(watched)["up"] == 0
        assert figures(watched)["last_success_timestamp_seconds"] == success
        assert watched.failures == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": [], "result": {"status": "online"}}, ["online"]),
        ({"error": [], "result": {"status": "maintenance"}}, ["maintenance"]),
        ({"error": [], "result": {"status": "cancel_only"}}, ["cancel_only"]),
        ({"error": [], "result": {"status": "on holiday" * 1000}}, ["other"]),
        ({"error": [], "result": {}}, ["other"]),
        ({"error": ["EService:Unavailable"]}, []),
    ],
)
async def test_what_the_venue_says_of_itself_is_reported(body: object, expected: list[str]) -> None:
    """In known words, and not for longer than it says so."""
    venue = FakeVenue()
    async with venue.serving() as address, watching(address) as watched:
        venue.body = body
        await watched.once()
        assert status(watched) == expected
        venue.http_status = 503
        await watched.once()
        assert status(watched) == []


async def test_a_hanging_venue_is_down_after_the_timeout() -> None:
    """A venue that accepts and never answers is down, and the probe took the timeout."""
    venue = FakeVenue()
    venue.hangs = True
    async with venue.serving() as address, watching(address, timeout_seconds=0.2) as watched:
        await watched.once()
        seen = figures(watched)
    assert (seen["up"], seen["last_success_timestamp_seconds"]) == (0, 0)
    assert seen["probe_duration_seconds"] >= 0.2


async def test_every_probe_is_a_new_client() -> None:
    """No cookie is kept and no connection is used again: a broken session is not the exporter's."""
    venue = FakeVenue()
    async with venue.serving() as address, watching(address) as watched:
        for _ in range(3):
            await watched.once()
    assert venue.cookies == ["", "", ""]
    assert len(venue.connections) == 3


@pytest.mark.parametrize(
    ("venue_time", "middle", "expected"),
    [(100, 100.0, 0.0), (100, 100.99, 0.0), (100, 102.5, -1.5), (100, 98.0, 2.0)],
)
def test_skew_is_what_whole_seconds_prove(venue_time: int, middle: float, expected: float) -> None:
    """Inside the venue's second there is none; beyond it, the distance to it."""
    assert skew(venue_time, middle) == pytest.approx(expected)


@pytest.mark.parametrize("venue_time", [None, "100", True])
def test_a_time_that_is_no_number_is_an_error(venue_time: object) -> None:
    """A venue that tells no time gives no skew."""
    with pytest.raises(ClientError, match="invalid venue time"):
        skew(venue_time, 1.0)


def test_a_result_is_taken_out() -> None:
    """An answer without errors gives its result."""
    assert result_of({"error": [], "result": {"a": 1}}) == {"a": 1}
