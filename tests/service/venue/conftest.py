"""A venue in this process, or in one of its own, and the real ccxt pointed at it."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.service.venue.harness import FaultCaller, Files, VenueProcess
from trading_ops.paper.venue.config import load_config
from trading_ops.paper.venue.venue import Venue


@pytest.fixture(scope="session")
def grown_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a venue that has invented its past, so that each test need not."""
    files = Files(tmp_path_factory.mktemp("venue"))
    venue = Venue(load_config(files.config))
    venue.store.commit()
    venue.journal.close()
    venue.store.close()
    return files.folder / "state"


@pytest.fixture
def files(tmp_path: Path, grown_state: Path) -> Files:
    shutil.copytree(grown_state, tmp_path / "state")
    return Files(tmp_path)


@pytest.fixture
async def venue(files: Files) -> AsyncIterator[Venue]:
    """A venue in this event loop."""
    venue = Venue(load_config(files.config))
    await venue.start()
    yield venue
    await venue.stop()
    assert not venue.failed.is_set()


@pytest.fixture
def process(files: Files) -> Iterator[VenueProcess]:
    """A venue in its own process."""
    process = VenueProcess(files)
    process.start()
    yield process
    assert process.process is not None
    if process.process.poll() is None:
        assert process.stop() == 0, process.log


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that keeps the cookies of 127.0.0.1, as a browser would."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


@pytest.fixture
async def faults(files: Files) -> AsyncIterator[FaultCaller]:
    async with aiohttp.ClientSession() as session:
        yield FaultCaller(session, files.faults)


@pytest.fixture
async def client(venue: Venue, files: Files, http: aiohttp.ClientSession) -> AsyncIterator[Any]:
    """The real asynchronous ccxt client with one edge session, its markets loaded."""
    import ccxt.async_support as ccxt  # noqa: PLC0415  # a second and 100 MB, only where needed

    exchange = ccxt.kraken({**files.options(), "session": http})
    await exchange.load_markets()
    yield exchange
    await exchange.close()


@pytest.fixture
def kraken(process: VenueProcess, files: Files) -> Iterator[Any]:
    """The real synchronous ccxt client on the real process."""
    import ccxt  # noqa: PLC0415  # a second and 100 MB, only where needed

    exchange = ccxt.kraken(files.options())
    yield exchange
    exchange.close()
