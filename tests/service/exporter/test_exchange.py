"""A venue through the real ccxt, in its real child process, against the paper venue."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.free_ports import free_port
from tests.service.venue.harness import FaultCaller, Files
from tests.waiting import eventually
from trading_ops.exporter.collector import PolledSource
from trading_ops.exporter.config import CcxtEntry
from trading_ops.exporter.exchange.source import ExchangeSource
from trading_ops_lab.paper.venue.config import load_config
from trading_ops_lab.paper.venue.venue import Venue

pytestmark = pytest.mark.processes

KEY_OF = "alpha"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    for path in (tmp_path / f"{KEY_OF}.{part}" for part in ("key", "secret")):
        path.touch(mode=0o600)
    return Files(tmp_path)


@pytest.fixture
async def venue(files: Files) -> AsyncIterator[Venue]:
    venue = Venue(load_config(files.config))
    await venue.start()
    yield venue
    await venue.stop()


@pytest.fixture
async def faults(files: Files) -> AsyncIterator[FaultCaller]:
    async with aiohttp.ClientSession() as session:
        yield FaultCaller(session, files.faults)


@dataclass
class Looked:
    """A source that is read when the test says so."""

    watched: PolledSource
    source: ExchangeSource

    async def once(self) -> dict[str, Any]:
        """Read, and return the figures: a number, or numbers by the second label."""
        await self.watched.once()
        found: dict[str, Any] = {}
        for family in self.source.families(fresh=self.watched.up):
            for sample in family.samples:
                name = sample.name.removeprefix("trading_venue_")
                rest = [value for key, value in sample.labels.items() if key != "venue"]
                assert sample.labels["venue"] == "kraken"
                if rest:
                    found.setdefault(name, {})[rest[0]] = sample.value
                else:
                    found[name] = sample.value
        return found


@contextlib.asynccontextmanager
async def looking(files: Files, **options: Any) -> AsyncIterator[Looked]:
    given: dict[str, Any] = {
        "name": "kraken",
        "exchange": "kraken",
        "request_interval_seconds": 0.001,
        "url": files.url,
        "key_file": files.folder / f"{KEY_OF}.key",
        "secret_file": files.folder / f"{KEY_OF}.secret",
        "balance_interval_seconds": 0.0,
    }
    entry = CcxtEntry(**(given | options))
    source = ExchangeSource(entry)
    try:
        yield Looked(PolledSource(source), source)
    finally:
        await source.child.close()


@pytest.mark.usefixtures("venue")
async def test_a_venue_is_reported(files: Files) -> None:
    """It is up, its clock is right, and the account holds what the venue gave it."""
    async with looking(files) as looked:
        seen = await looked.once()
        assert looked.watched.problem == ""
    assert (seen["up"], seen["account_up"]) == (1, 1)
    assert 0 < seen["probe_duration_seconds"] < 8
    assert abs(seen["clock_skew_seconds"]) < 1
    assert seen["request_interval_seconds"] > 0
    assert seen["account_balance"] == {"BTC": 1, "ETH": 10, "SOL": 100, "USD": 100_000}
    assert seen["account_free_balance"]["USD"] == 100_000
    assert not any(seen["probe_failures_total"].values())
    assert "key_can_trade" not in seen, "the paper venue does not tell"


@pytest.mark.usefixtures("venue")
async def test_only_the_wanted_currencies_are_reported(files: Files) -> None:
    """Those that are named, one that the account has not among them."""
    async with looking(files, currencies=("USD", "EUR")) as looked:
        seen = await looked.once()
    assert seen["account_balance"] == {"USD": 100_000, "EUR": 0}


@pytest.mark.usefixtures("venue")
async def test_without_a_key_only_what_is_public_is_asked(files: Files) -> None:
    """There is nothing about an account then."""
    async with looking(files, key_file=None, secret_file=None) as looked:
        seen = await looked.once()
    assert seen["up"] == 1
    assert not [name for name in seen if name.startswith("account")]


async def test_a_venue_that_is_not_there_is_down(files: Files) -> None:
    """No one listens."""
    async with looking(files, url=f"http://127.0.0.1:{free_port()}") as looked:
        seen = await looked.once()
    assert (seen["up"], seen["account_up"]) == (0, 0)
    assert seen["probe_failures_total"]["network"] == 1


@pytest.mark.usefixtures("venue")
async def test_down_and_up_again(files: Files, faults: FaultCaller) -> None:
    """An outage is seen, keeps the last success, and ends; the child stays the same."""
    async with looking(files) as looked:
        before = await looked.once()
        child = looked.source.child.pid
        outage = await faults.inject("http_5xx")
        seen = await looked.once()
        assert (seen["up"], looked.watched.up) == (0, False)
        assert seen["last_success_timestamp_seconds"] == before["last_success_timestamp_seconds"]
        await faults.clear(outage)
        seen = await looked.once()
        assert (seen["up"], seen["account_up"]) == (1, 1)
        assert looked.source.child.pid == child


@pytest.mark.usefixtures("venue")
async def test_a_hang_ends_in_time_automatically(files: Files, faults: FaultCaller) -> None:
    """ccxt gives up before its process must be killed, and the next look is healthy."""
    async with looking(files, timeout_seconds=2.0) as looked:

        async def up() -> bool:
            return bool((await looked.once())["up"] == 1)

        await eventually(up, what="a look within the timeout")
        hang = await faults.inject("hang")
        seen = await looked.once()
        assert seen["up"] == 0
        assert seen["probe_failures_total"]["timeout"] >= 1
        await faults.clear(hang)
        await eventually(up, what="a look after the hang")


@contextlib.asynccontextmanager
async def dribbling() -> AsyncIterator[str]:
    """A server whose answer never ends: no timeout of an HTTP client sees it."""
    stopped = asyncio.Event()

    async def dribble(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            while not stopped.is_set():
                await answer.write(b" ")
                await asyncio.sleep(0.05)
        return answer

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", dribble)
    async with TestServer(application) as server:
        yield str(server.make_url("")).rstrip("/")
        stopped.set()


async def test_a_child_that_never_ends_is_killed(files: Files) -> None:
    """And the next reading has a new one."""
    async with dribbling() as url, looking(files, url=url, timeout_seconds=1.5) as looked:
        reading = asyncio.create_task(looked.once())
        pid = await eventually(lambda: looked.source.child.pid)
        seen = await reading
        assert seen["up"] == 0
        assert seen["probe_failures_total"]["timeout"] == 1
        assert seen["probe_duration_seconds"] >= 1
        assert not psutil.pid_exists(pid)
        assert looked.source.child.pid is None


@pytest.mark.usefixtures("venue")
async def test_a_child_that_dies_is_replaced(files: Files) -> None:
    """Anyone who killed it: one reading fails, the next one does not."""
    async with looking(files) as looked:
        await looked.once()
        psutil.Process(looked.source.child.pid).kill()
        assert (await looked.once())["up"] == 0
        assert (await looked.once())["up"] == 1


@pytest.mark.usefixtures("venue")
async def test_a_wrong_key_is_no_outage(files: Files) -> None:
    """The venue is up, the account is not, and the reason says which; fixed, it is used."""
    secret = files.folder / f"{KEY_OF}.secret"
    good = secret.read_text()
    secret.write_text(files.secret("other"))
    async with looking(files) as looked:
        seen = await looked.once()
        assert (seen["up"], seen["account_up"], looked.watched.up) == (1, 0, False)
        assert seen["probe_failures_total"]["key"] == 1
        assert "account_balance" not in seen
        assert files.secret("other") not in looked.watched.problem
        secret.write_text(good)
        assert (await looked.once())["account_up"] == 1


@pytest.mark.usefixtures("venue")
async def test_the_bots_own_key_clashes(files: Files) -> None:
    """With a key whose nonces someone else has driven up, the account cannot be read."""
    async with looking(files) as looked, aiohttp.ClientSession(files.url) as session:
        assert (await looked.once())["account_up"] == 1
        path, body, headers = files.signed("Balance", 10**17, {}, KEY_OF)
        async with session.post(path, data=body, headers=headers) as answer:
            assert (await answer.json())["error"] == []
        seen = await looked.once()
        assert (seen["up"], seen["account_up"]) == (1, 0)
        assert seen["probe_failures_total"]["nonce"] > 0


@pytest.mark.usefixtures("venue")
async def test_a_key_that_others_can_read_is_refused(files: Files) -> None:
    """Before anything is asked with it; the error says what to do."""
    key = files.folder / f"{KEY_OF}.key"
    key.chmod(0o640)
    async with looking(files) as looked:
        await looked.once()
        assert looked.watched.problem.endswith(f"chmod 600 {key}")
        assert looked.source.child.pid is None


@contextlib.asynccontextmanager
async def between(files: Files, ahead: int = 0, permissions: tuple[str, ...] = ()) -> Any:
    """Pass on to the paper venue, but tell another time, and what the key may do."""

    async def pass_on(request: web.Request) -> web.Response:
        if request.path.endswith("/GetApiKeyInfo") and permissions:
            return web.json_response({"error": [], "result": {"permissions": permissions}})
        async with aiohttp.ClientSession() as session:
            headers = {
                name: value
                for name, value in request.headers.items()
                if name in {"API-Key", "API-Sign", "Content-Type"}
            }
            async with session.request(
                request.method,
                f"{files.url}{request.path_qs}",
                data=await request.read(),
                headers=headers,
            ) as answer:
                body = await answer.json()
        if request.path.endswith("/Time"):
            body["result"]["unixtime"] += ahead
        return web.json_response(body)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", pass_on)
    async with TestServer(application) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.mark.usefixtures("venue")
@pytest.mark.parametrize("ahead", [-3600, 45])
async def test_a_wrong_clock_is_seen(files: Files, ahead: int) -> None:
    """The venue's, or ours: the result distinguishes them, and the venue is up."""
    async with between(files, ahead) as url, looking(files, url=url) as looked:
        seen = await looked.once()
    assert seen["up"] == 1
    assert seen["clock_skew_seconds"] == pytest.approx(ahead, abs=3)


@pytest.mark.usefixtures("venue")
async def test_waiting_for_the_rate_limit_is_no_skew(files: Files) -> None:
    """Nor is it the venue's slowness: what we wait before a request is ours."""
    options = {"key_file": None, "secret_file": None, "request_interval_seconds": 2.5}
    async with looking(files, **options) as looked:
        seen = await looked.once()
        assert looked.watched.duration > 2
    assert abs(seen["clock_skew_seconds"]) < 0.2
    assert seen["probe_duration_seconds"] < 2


@pytest.mark.usefixtures("venue")
async def test_a_key_that_can_trade_is_refused_unless_accepted(files: Files) -> None:
    """The venue is asked what the key may do; no balance is read with one that may do more."""
    async with between(files, permissions=("query-funds", "modify-trades")) as url:
        async with looking(files, url=url) as looked:
            seen = await looked.once()
            assert (seen["up"], seen["account_up"], seen["key_can_trade"]) == (1, 0, 1)
            assert "accept_trading_key" in looked.watched.problem
        async with looking(files, url=url, accept_trading_key=True) as looked:
            seen = await looked.once()
            assert (seen["account_up"], seen["key_can_trade"]) == (1, 1)
    async with (
        between(files, permissions=("query-funds",)) as url,
        looking(files, url=url) as looked,
    ):
        seen = await looked.once()
        assert (seen["account_up"], seen["key_can_trade"]) == (1, 0)


async def test_an_unknown_venue_is_reported(files: Files) -> None:
    """In the words of anyone who wrote the configuration."""
    async with looking(files, exchange="nosuchvenue") as looked:
        await looked.once()
        assert "ccxt does not support venue 'nosuchvenue'" in looked.watched.problem
