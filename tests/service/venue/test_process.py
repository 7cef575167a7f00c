"""The venue as a process: what it survives, how it ends, and what it says when it cannot start."""

import asyncio
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from tests.service.venue.harness import FaultCaller, Files, VenueProcess, until
from trading_ops_lab.paper.venue.__main__ import main, run
from trading_ops_lab.paper.venue.config import load_config
from trading_ops_lab.paper.venue.venue import Venue

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """`main` takes over this process's logs; give them back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


async def post(
    files: Files, method: str, nonce: int, *, key: str = "alpha", **fields: object
) -> dict[str, Any]:
    path, body, headers = files.signed(method, nonce, fields, key)
    async with (
        aiohttp.ClientSession() as session,
        session.post(files.url + path, data=body, headers=headers) as answer,
    ):
        decoded: dict[str, Any] = await answer.json()
        return decoded


async def test_everything_survives_kill_9(
    process: VenueProcess, files: Files, faults: FaultCaller
) -> None:
    """Orders, balances, trades, nonces, the journal and the armed switch are there again."""
    resting = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01"}
    await post(files, "AddOrder", 1, **resting, price="1000", cl_ord_id="mine")
    market = {"pair": "XBTUSD", "type": "sell", "ordertype": "market", "volume": "0.01"}
    await post(files, "AddOrder", 2, **market)
    await post(files, "CancelAllOrdersAfter", 3, timeout=600)
    stop = market | {"ordertype": "stop-loss", "price": "1000"}
    await post(files, "AddOrder", 4, **stop)
    await faults.hand("alpha", "deposits", asset="USD", amount="0.0001")
    assert (await post(files, "Balance", 500, key="second"))["error"] == []
    asked = ("BalanceEx", "OpenOrders", "ClosedOrders", "TradesHistory", "Ledgers")
    before = [await post(files, method, 10 + n) for n, method in enumerate(asked)]
    entries = await faults.journal()
    process.kill()
    process.start()
    assert (await post(files, "Balance", 13))["error"] == ["EAPI:Invalid nonce"]
    reused = [await post(files, "Balance", nonce, key="second") for nonce in (500, 501)]
    assert [answer["error"] for answer in reused] == [["EAPI:Invalid nonce"], []]
    assert (await faults.hand("alpha"))["dead_man_deadline"] is not None
    after = [await post(files, method, 20 + n) for n, method in enumerate(asked)]
    assert after == before
    again = await faults.journal()
    assert again[: len(entries)] == entries
    assert again[len(entries)]["event"] == "venue_started"
    lines = files.journal.read_text().splitlines()
    assert [json.loads(line) for line in lines] == await faults.journal()


async def test_a_switch_that_was_due_while_the_venue_was_dead_fires_at_once(
    process: VenueProcess, files: Files, faults: FaultCaller
) -> None:
    """A crash of the venue does not disarm the dead man's switch."""
    order = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01"}
    await post(files, "AddOrder", 1, **order, price="1000")
    await post(files, "CancelAllOrdersAfter", 2, timeout=1)
    process.kill()
    await asyncio.sleep(1.1)  # real time must pass while no one counts it
    process.start()
    assert (await post(files, "OpenOrders", 3))["result"]["open"] == {}
    assert [e["count"] for e in await faults.journal("dead_man_fired")] == [1]


async def test_dead_sessions_stay_dead_and_other_faults_end_with_the_process(
    process: VenueProcess, files: Files, faults: FaultCaller, http: aiohttp.ClientSession
) -> None:
    """A restart recovers no client that clings to a dead session, and keeps no port closed."""
    url = f"{files.url}/0/public/Time"
    async with http.get(url) as answer:
        assert answer.status == 200
    dead = await faults.inject("disconnect")
    await faults.inject("http_5xx")
    process.kill()
    process.start()
    _, body = await faults.call("GET", "/faults")
    assert [fault["id"] for fault in body["faults"]] == [dead]
    async with http.get(url) as answer:
        assert answer.status == 520
    assert (await faults.journal("session_killed"))[0]["session"] == "s1"
    (cleared,) = await faults.journal("fault_cleared")
    assert (cleared["kind"], cleared["reason"]) == ("http_5xx", "restart")


async def test_a_jump_of_the_price_ends_with_the_process(
    process: VenueProcess, files: Files, faults: FaultCaller, http: aiohttp.ClientSession
) -> None:
    """After a crash the market goes on where it would have been without the fault."""

    async def last() -> float:
        async with http.get(f"{files.url}/0/public/Ticker?pair=XBTUSD") as answer:
            return float((await answer.json())["result"]["XXBTZUSD"]["b"][0])

    before = await last()
    await faults.inject("price_jump", pair="XBTUSD", percent=50)

    async def jumped() -> bool:
        return await last() > before * 1.4

    await until(jumped)
    process.kill()
    process.start()
    assert await last() == pytest.approx(before, rel=0.05)


async def test_the_journal_of_the_configuration_is_bounded(
    files: Files, faults: FaultCaller
) -> None:
    """The settings reach the file: it is started again, and one old one is kept."""
    files.config.write_text(json.dumps(files.values() | {"journal_bytes": 4000}))
    process = VenueProcess(files)
    process.start()
    try:
        for _ in range(40):
            await faults.hand("alpha", "deposits", asset="USD", amount="1")
        assert 0 < files.journal.stat().st_size < 5000
        assert files.journal.with_name("journal.jsonl.1").stat().st_size < 5000
        assert len(await faults.journal("money_moved")) >= 40
    finally:
        assert process.stop() == 0, process.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_at_once_and_cleanly(
    process: VenueProcess, files: Files, http: aiohttp.ClientSession, number: signal.Signals
) -> None:
    """With a feed open it ends with 0, and has printed only JSON."""
    async with http.ws_connect(files.url + "/v2"):
        async with asyncio.timeout(60):
            assert await asyncio.to_thread(process.stop, number) == 0
    events = [json.loads(line)["event"] for line in process.log.splitlines()]
    assert events == ["venue_started", "venue_stopped"]


def test_a_second_venue_on_the_same_state_is_refused(process: VenueProcess, files: Files) -> None:
    """Two venues never write one state: the second says so and ends."""
    command = [sys.executable, "-m", "trading_ops_lab.paper.venue", "--config", str(files.config)]
    second = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert second.returncode == 1
    entry = json.loads(second.stderr.splitlines()[-1])
    assert "is another venue running on it?" in entry["problem"]


async def test_a_taken_port_is_named(venue: Venue, tmp_path: Path) -> None:
    """A venue whose port is taken says which, and lets go of its state."""
    folder = tmp_path / "second"
    folder.mkdir()
    config = venue._config
    other = Files(folder, rest=config.address)
    with pytest.raises(OSError, match=config.address.split(":")[1]):
        await run(load_config(other.config))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"color": "red"}, "color"),
        ({"seed": "seven"}, "seed"),
        ({"address": "here"}, "address"),
        ({"keys": []}, "keys"),
        ({"keys": [{"key_file": "a", "secret_file": "b"}]}, "keys[0].account"),
        ({"faults_token_file": "/nowhere"}, "/nowhere"),
        ({"maker_fee": "2"}, "maker_fee"),
        ({"tick_seconds": 0}, "tick_seconds"),
        ({"funds": {"DOGE": "1"}}, "funds.DOGE"),
        ({"tier": "whale"}, "tier"),
        ({"journal_bytes": 10}, "journal_bytes"),
    ],
)
def test_a_wrong_configuration_is_one_clear_sentence(
    files: Files, capfd: pytest.CaptureFixture[str], change: dict[str, Any], problem: str
) -> None:
    """The key and the fix are named, and the exit code is that of a wrong configuration."""
    files.config.write_text(json.dumps(files.values() | change))
    assert main(["--config", str(files.config)]) == 2
    entry = json.loads(capfd.readouterr().err)
    assert problem in entry["problem"]
    assert "Fix: " in entry["problem"]


@pytest.mark.parametrize(
    ("text", "problem"), [("{", "one JSON object"), (None, "No such file"), ("{}", "address")]
)
def test_an_unreadable_configuration_is_refused(
    files: Files, capfd: pytest.CaptureFixture[str], text: str | None, problem: str
) -> None:
    """A missing, torn or empty file is named."""
    if text is None:
        files.config.unlink()
    else:
        files.config.write_text(text)
    assert main(["--config", str(files.config)]) == 2
    assert problem in json.loads(capfd.readouterr().err)["problem"]


@pytest.mark.parametrize(("name", "text"), [("alpha.secret", "***"), ("alpha.key", "")])
def test_a_secret_that_is_none_is_refused(
    files: Files, capfd: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    """A secret must be base64, and a key must not be empty."""
    (files.folder / name).write_text(text)
    assert main(["--config", str(files.config)]) == 2
    assert name in json.loads(capfd.readouterr().err)["problem"]


async def test_a_beat_that_fails_ends_the_venue(files: Files) -> None:
    """A market that cannot move is not a venue: it ends, so that the supervisor starts it again."""
    venue = Venue(load_config(files.config))
    await venue.start()
    try:
        venue.engine.markets.clear()
        venue.store.connection.execute("DROP TABLE facts")
        async with asyncio.timeout(120):
            await venue.failed.wait()
    finally:
        await venue.stop()
