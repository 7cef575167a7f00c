"""A venue in this process, or in one of its own, and the real ccxt pointed at it."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.service.venue.harness import AccountFeed, FaultCaller, Files, VenueProcess
from trading_ops_lab.paper.venue.config import load_config
from trading_ops_lab.paper.venue.venue import Venue


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


@pytest.fixture
def call(venue: Venue, files: Files, http: aiohttp.ClientSession) -> Any:
    """Send a private call that was signed manually; return Kraken's body."""
    nonces = iter(range(1, 100_000))

    async def call(method: str, key: str = "alpha", **fields: object) -> dict[str, Any]:
        path, body, headers = files.signed(method, next(nonces), fields, key)
        async with http.post(files.url + path, data=body, headers=headers) as answer:
            assert answer.status == 200
            decoded: dict[str, Any] = await answer.json()
            return decoded

    return call


@pytest.fixture
async def account_feed(
    venue: Venue, files: Files, http: aiohttp.ClientSession, call: Any
) -> AsyncIterator[AccountFeed]:
    """A raw WebSocket client with a token of the account alpha."""
    token = (await call("GetWebSocketsToken"))["result"]["token"]
    async with http.ws_connect(files.url + "/v2") as socket:
        yield AccountFeed(socket, token)
