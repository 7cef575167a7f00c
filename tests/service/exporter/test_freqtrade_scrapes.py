"""The exporter serves each Freqtrade as an agent serves its bot, and none of them can hurt it."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.free_ports import free_port
from tests.service.exporter.freqtrades import EVERYTHING, PASSWORD, FakeFreqtrade, entry
from tests.service.exporter.test_exporter import exporter, scrape
from tests.service.exporter.venues import FakeVenue
from tests.waiting import eventually
from trading_ops.exporter.config import VenueEntry
from trading_ops.exporter.freqtrade.facts import NAMES
from trading_ops.instrument.catalogue import get

VITAL = "/metrics/vital?bot=freq"


async def families(session: aiohttp.ClientSession, path: str) -> set[str]:
    async with session.get(path) as answer:
        assert answer.status == 200, await answer.text()
        text = await answer.text()
    return {family.name for family in text_string_to_metric_families(text)}


async def status(session: aiohttp.ClientSession, path: str, **headers: str) -> int:
    async with session.get(path, headers=headers) as answer:
        return answer.status


async def test_vital_and_the_rest_are_the_whole(tmp_path: Path) -> None:
    """The three forms of a scrape are those of an agent, and the exporter's own is apart."""
    fake = FakeFreqtrade()
    async with (
        fake.serving() as address,
        exporter(tmp_path, freqtrades=(entry(tmp_path, address),)) as session,
    ):
        vital = await families(session, VITAL)
        rest = await families(session, "/metrics?exclude=vital&bot=freq")
        assert await families(session, "/metrics?bot=freq") == vital | rest
        own = await families(session, "/metrics")
    names = [get(name) for name in NAMES]
    assert vital == {metric.family for metric in names if metric.vital}
    assert rest == {metric.family for metric in names if not metric.vital}
    assert not own & (vital | rest)


async def test_each_reading_has_its_score(tmp_path: Path) -> None:
    """Last success and failures of each endpoint are among the exporter's own figures."""
    fake = FakeFreqtrade()
    fake.raw["profit"] = (502, b'{"error": "no"}')
    async with (
        fake.serving() as address,
        exporter(tmp_path, freqtrades=(entry(tmp_path, address),)) as session,
    ):
        seen = await scrape(session)
    up = seen["trading_exporter_collector_up"]
    assert up[("freqtrade:freq:health",)] == 1
    assert up[("freqtrade:freq:profit",)] == 0
    assert seen["trading_exporter_collector_failures_total"][("freqtrade:freq:profit",)] == 1
    when = seen["trading_exporter_collector_last_success_timestamp_seconds"]
    assert when[("freqtrade:freq:health",)] > when[("freqtrade:freq:profit",)] == 0


async def test_a_dead_one_fails_its_scrape_alone(tmp_path: Path) -> None:
    """503 makes `up` 0; the other Freqtrade, the venue and the host are reported as before."""
    fake, venue = FakeFreqtrade(), FakeVenue()
    async with (
        fake.serving() as address,
        venue.serving() as venue_address,
        exporter(
            tmp_path,
            VenueEntry("paper", venue_address),
            freqtrades=(
                entry(tmp_path, address),
                entry(tmp_path, f"127.0.0.1:{free_port()}", name="dead"),
            ),
        ) as session,
    ):
        for path in ("/metrics/vital", "/metrics", "/metrics?exclude=vital"):
            joined = path + ("&" if "?" in path else "?")
            assert await status(session, f"{joined}bot=dead") == 503
            assert await status(session, f"{joined}bot=freq") == 200
        seen = await scrape(session)
    assert seen["trading_venue_up"] == {("paper",): 1}
    assert seen["trading_host_memory_available_bytes"][()] > 0


async def test_one_that_hangs_delays_neither_start_nor_scrapes(tmp_path: Path) -> None:
    """It accepts connections and says nothing: what a stopped process does."""
    fake, venue = FakeFreqtrade(), FakeVenue()
    fake.hangs = {EVERYTHING}
    async with (
        fake.serving() as address,
        venue.serving() as venue_address,
        asyncio.timeout(15),  # its slowest endpoint alone is given 20 s
        exporter(
            tmp_path,
            VenueEntry("paper", venue_address),
            freqtrades=(entry(tmp_path, address),),
        ) as session,
    ):
        assert await status(session, VITAL) == 503
        assert (await scrape(session))["trading_venue_up"] == {("paper",): 1}
        venue.http_status = 503
        await eventually(lambda: _venue_is_down(session))
        fake.thaw()

        async def lives() -> bool:
            return await status(session, VITAL) == 200

        await eventually(lives)


async def _venue_is_down(session: aiohttp.ClientSession) -> bool:
    return (await scrape(session))["trading_venue_up"] == {("paper",): 0}


async def test_one_that_dies_and_comes_back_is_seen(tmp_path: Path) -> None:
    """Without anyone asking for it, and at the same address."""
    port = free_port()
    async with exporter(tmp_path, freqtrades=(entry(tmp_path, f"127.0.0.1:{port}"),)) as session:

        async def answers(expected: int) -> bool:
            return await status(session, VITAL) == expected

        assert await answers(503)
        async with FakeFreqtrade().serving(port):
            await eventually(lambda: answers(200))
        await eventually(lambda: answers(503))


@pytest.mark.parametrize("name", ["", "nobody", "freq%00", "../freq", "%22}"])
async def test_an_unknown_name_finds_nothing(tmp_path: Path, name: str) -> None:
    """Only names of the configuration do."""
    async with exporter(tmp_path) as session:
        assert await status(session, f"/metrics/vital?bot={name}") == 404
        assert await status(session, "/metrics/vital") == 404


async def test_wrong_tokens_are_counted(tmp_path: Path) -> None:
    """A request without any token is not: browsers and health checks send those."""
    async with exporter(tmp_path) as session:
        for token in ("Bearer wrong", "Bearer guessed", ""):
            assert await status(session, "/metrics", Authorization=token) == 401
        assert (await scrape(session))["trading_exporter_refused_total"][()] == 2


async def test_scrapes_of_a_bot_want_the_token(tmp_path: Path) -> None:
    """As the exporter's own do."""
    async with exporter(tmp_path) as session:
        assert await status(session, VITAL, Authorization="Bearer wrong") == 401


async def test_the_password_is_never_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither in a scrape nor in the log, whatever goes wrong."""
    fake = FakeFreqtrade()
    fake.raw["count"] = (500, b"")
    wrong = PASSWORD + "-or-not"
    async with (
        fake.serving() as address,
        exporter(
            tmp_path,
            freqtrades=(
                entry(tmp_path, address),
                entry(tmp_path, address, name="wrong", password=wrong),
            ),
        ) as session,
        session.get("/metrics") as own,
    ):
        text = await own.text()
    assert "freqtrade:wrong:health" in text
    printed = capsys.readouterr()
    assert "wrong" in printed.out + printed.err
    assert PASSWORD not in text + printed.out + printed.err
