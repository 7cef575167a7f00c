"""Each trap of reading and commanding a Freqtrade, against the real one.

What a test here shows is what the exporter's and the client's code take for granted; a Freqtrade
that behaves otherwise one day fails here first.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.freqtrade.real import PAIRS, PASSWORD, USER, WS_TOKEN, Exchange, RealFreqtrade, patiently
from tests.service.exporter.test_freqtrade import figures, look
from trading_ops import clock
from trading_ops.clients.freqtrade import Freqtrade
from trading_ops.clients.http import Http
from trading_ops.errors import ClientError
from trading_ops.exporter.config import FreqtradeEntry
from trading_ops.exporter.freqtrade.bot import FreqtradeBot
from trading_ops.exporter.freqtrade.facts import LOOP_SECONDS
from trading_ops.exporter.freqtrade.listener import Listener
from trading_ops.exporter.freqtrade.message_metrics import MESSAGES

HALT = {"id": "trap", "owner": "proof", "reason": "a trap is tried"}
RELEASE = {"owner": "proof", "reason": "tried", "holds": "all"}
WITHIN = timedelta(seconds=60)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def bot(real: RealFreqtrade, session: aiohttp.ClientSession, tmp_path: Path) -> FreqtradeBot:
    """What the exporter makes of it."""
    password, token = tmp_path / "password", tmp_path / "token"
    password.write_text(f"{USER}:{PASSWORD}\n")
    token.write_text(WS_TOKEN)
    return FreqtradeBot(FreqtradeEntry("freq", real.address, password, token), session)


@pytest.fixture
def client(real: RealFreqtrade, session: aiohttp.ClientSession) -> Freqtrade:
    """What commands it."""
    http = Http(session, f"http://{real.address}", basic=f"{USER}:{PASSWORD}")
    return Freqtrade(http, "freq")


@pytest.fixture(autouse=True)
async def _calm(real: RealFreqtrade, exchange: Exchange) -> AsyncIterator[None]:
    """End each test with a Freqtrade that runs, has no locks, and an exchange that is well."""
    yield
    exchange.mode("ok")
    if real.running.poll() is not None:
        real.start()
    await patiently(lambda: real.global_locks() is not None, within=60)
    for lock in real.global_locks():
        real.ask("DELETE", f"/locks/{lock['id']}")
    if real.state != "running":
        real.post("/start")
    await patiently(lambda: real.state == "running" and real.loop_age < 10, within=60)


async def command(client: Freqtrade, name: str, params: dict[str, str]) -> str:
    result = await client.command(name, params, attempt_id="x", fence=1, within=WITHIN)
    assert result.outcome == "succeeded", result.detail
    return result.detail


def test_there_is_no_network_but_loopback(request: pytest.FixtureRequest) -> None:
    """What is proven here needs no exchange and reaches none."""
    if not request.config.getoption("--cut-off"):
        pytest.skip("unshare -rn is not allowed here: the network was not cut off")
    assert set(psutil.net_if_addrs()) == {"lo"}


async def test_a_pause_is_forgotten_by_a_reload(real: RealFreqtrade, client: Freqtrade) -> None:
    """Its own reload ends its own pause; our reconciler applies it again."""
    real.post("/pause")
    await patiently(lambda: real.state == "paused", within=20)
    real.post("/reload_config")
    await patiently(lambda: real.state == "running", within=60)
    await command(client, "pause", {})
    assert await command(client, "reload", {}) == "it is reloaded, and paused as before"
    assert real.state == "paused"


async def test_a_lock_outlives_kill_9_and_a_pause_does_not(
    real: RealFreqtrade, client: Freqtrade
) -> None:
    """A halt is therefore both, and is applied again after a restart."""
    await command(client, "halt", HALT)
    assert real.end(signal.SIGKILL) == -signal.SIGKILL
    real.start()
    assert real.state == "running"
    assert len(real.global_locks()) == 1
    assert (await client.health()).state == "reducing"
    assert await client.reapply()
    assert (await client.health()).state == "halted"
    await command(client, "resume", RELEASE)
    assert (await client.health()).state == "active"


async def test_a_lock_keeps_the_strategy_out_and_lets_a_forced_entry_pass(
    real: RealFreqtrade, client: Freqtrade
) -> None:
    """A lock alone is less than a halt; with the pause a forced entry is refused too."""
    real.post("/forceexit", {"tradeid": "all", "ordertype": "market"})
    await patiently(lambda: real.open_trades() == 0, within=30)
    await command(client, "reduce", HALT)
    real.post("/forceexit", {"tradeid": "all", "ordertype": "market"})
    await patiently(lambda: real.open_trades() == 0, within=30)
    entry = {"pair": "BTC/USDT", "ordertype": "market"}
    assert real.ask("POST", "/forceenter", entry)[0] == 200
    assert real.open_trades() == 1
    await command(client, "halt", HALT)
    status, answer = real.ask("POST", "/forceenter", entry | {"pair": "ETH/USDT"})
    assert status == 502, answer
    assert real.open_trades() == 1


async def test_when_stopped_nothing_is_exited_or_counted(
    real: RealFreqtrade, bot: FreqtradeBot
) -> None:
    """Why an emergency exit stops last."""
    real.post("/stop")
    await patiently(lambda: real.state == "stopped", within=20)
    refused = "trader is not running"
    for method, path, body in (
        ("POST", "/forceexit", {"tradeid": "all"}),
        ("POST", "/forceenter", {"pair": "BTC/USDT"}),
        ("DELETE", "/trades/1/open-order", None),
        ("GET", "/count", None),
    ):
        status, answer = real.ask(method, path, body)
        assert (status, refused in answer["error"]) == (502, True)
    assert real.ask("GET", "/status")[0] == real.ask("GET", "/profit")[0] == 200
    seen = await look(bot, "show_config", "locks", "count", "status", "health")
    assert seen["trading_state:halted"] == 1
    assert "trading_freqtrade_open_trades" not in seen
    assert seen["trading_open_positions"] == len(real.get("/status"))
    assert "trading_component_up:heartbeat" not in seen


async def test_a_resting_entry_and_its_cancellation(
    real: RealFreqtrade, client: Freqtrade, bot: FreqtradeBot
) -> None:
    """Its stake leaves `total_bot` at once, which is no loss; and a cancel that is carried out may
    be answered with an error."""
    await command(client, "reduce", HALT)
    real.post("/forceexit", {"tradeid": "all", "ordertype": "market"})
    await patiently(lambda: real.open_trades() == 0, within=30)
    before = (await look(bot, "show_config", "balance"))["trading_equity:USDT"]
    order = {"pair": "BTC/USDT", "ordertype": "limit", "price": 40_000.0}
    assert real.ask("POST", "/forceenter", order)[0] == 200
    (trade,) = real.get("/status")
    assert trade["has_open_orders"]
    assert real.get("/balance")["total_bot"] < before - 90
    seen = await look(bot, "balance", "status")
    assert seen["trading_equity:USDT"] == pytest.approx(before, rel=0.001)
    assert seen["trading_open_orders"] == 1
    assert seen["trading_open_positions"] == 0
    status, _ = real.ask("DELETE", f"/trades/{trade['trade_id']}/open-order")
    assert status in {200, 502}
    await patiently(lambda: real.open_trades() == 0, within=30)


@pytest.mark.parametrize("before", ["running", "stopped"])
async def test_an_emergency_exit_leaves_nothing_open(
    real: RealFreqtrade, client: Freqtrade, before: str
) -> None:
    """Everything is sold, then it is stopped; also if an operator had stopped it first."""
    await hold_two(real)
    if before == "stopped":
        real.post("/stop")
        await patiently(lambda: real.state == "stopped", within=20)
    detail = await command(client, "flatten", HALT)
    assert detail.endswith("nothing is open, stopped"), detail
    assert (real.state, real.get("/status")) == ("stopped", [])
    assert len(real.global_locks()) == 1


async def test_an_emergency_exit_that_cannot_be_does_not_stop_it(
    real: RealFreqtrade, client: Freqtrade, exchange: Exchange
) -> None:
    """The exchange is away: it stays halted, its positions managed, and the answer says so."""
    await hold_two(real)
    exchange.mode("down")
    within = timedelta(seconds=12)
    result = await client.command("flatten", HALT, attempt_id="x", fence=1, within=within)
    assert result.outcome == "failed"
    assert "open positions: 2; it was not stopped" in result.detail
    assert (await client.health()).state == "halted"
    assert real.state == "paused"


async def test_a_throttling_exchange_stalls_the_loop(
    real: RealFreqtrade, exchange: Exchange, bot: FreqtradeBot
) -> None:
    """429: Freqtrade waits longer and longer within one loop, and its state stays good."""
    exchange.mode("429")
    await patiently(lambda: real.loop_age > 15, within=90)
    assert real.state == "running"
    seen = await look(bot, "logs", "show_config", "locks", "ping")
    assert bot.is_alive
    assert seen["trading_component_up:broker"] == 0
    assert seen["trading_state:active"] == 1


async def test_a_hanging_exchange_stalls_the_loop(
    real: RealFreqtrade, exchange: Exchange, bot: FreqtradeBot
) -> None:
    """No warning is written while it hangs; the loop's age alone tells it."""
    exchange.mode("hang")
    await patiently(lambda: real.loop_age > LOOP_SECONDS, within=120)
    seen = await look(bot, "health", "show_config", "locks", "ping")
    assert bot.is_alive
    assert seen["trading_component_up:heartbeat"] == 0
    assert seen["trading_state:active"] == 1
    exchange.mode("ok")
    await patiently(lambda: real.loop_age < LOOP_SECONDS / 2, within=120)


@pytest.mark.parametrize("mode", ["down", "500"])
async def test_it_does_not_start_while_the_exchange_is_away(
    real: RealFreqtrade, exchange: Exchange, mode: str
) -> None:
    """Code 2, at once: a restart is no remedy for an outage of the exchange."""
    real.end(signal.SIGKILL)
    exchange.mode(mode)
    real.spawn_only()
    assert real.running.wait(180) == 2


async def test_a_term_ends_it_in_good_order(real: RealFreqtrade) -> None:
    """What a service manager sends; the code is that of an interruption."""
    assert real.end(signal.SIGTERM) == 130


async def test_a_frozen_process_answers_no_ping_until_it_goes_on(
    real: RealFreqtrade, bot: FreqtradeBot, client: Freqtrade
) -> None:
    """SIGSTOP: dead to the exporter, and no command is believed to have been done."""
    real.send(signal.SIGSTOP)
    try:
        await patiently(lambda: is_dead(bot), within=10)
        with pytest.raises(ClientError):
            await client.health()
    finally:
        real.send(signal.SIGCONT)

    async def is_alive() -> bool:
        await look(bot, "ping")
        return bot.is_alive

    await patiently(is_alive, within=30)


async def test_its_messages_are_heard_and_a_reload_ends_the_connection(
    real: RealFreqtrade, bot: FreqtradeBot
) -> None:
    """Each reload closes it with 1012; the listener reconnects and keeps what it received."""
    (listener,) = (watched for watched in bot.watched if isinstance(watched, Listener))
    async with running(listener):
        await patiently(lambda: listener.up, within=20)
        real.post("/pause")
        await patiently(lambda: heard(bot, "status") == 1, within=20)
        real.post("/reload_config")
        await patiently(lambda: listener.failures, within=30)
        assert "1012" in listener.problem or listener.up
        await patiently(lambda: listener.up, within=60)
        real.post("/pause")
        await patiently(lambda: heard(bot, "status") >= 2, within=20)
    assert heard(bot, "other") == 0


async def test_a_fill_and_a_candle_are_heard(real: RealFreqtrade, bot: FreqtradeBot) -> None:
    """Orders by how they ended, which no endpoint tells; and a candle's analysis."""
    (listener,) = (watched for watched in bot.watched if isinstance(watched, Listener))
    await hold_two(real)
    await look(bot, "pair_candles")
    async with running(listener):
        await patiently(lambda: listener.up, within=20)
        real.post("/forceexit", {"tradeid": "all", "ordertype": "market"})
        await patiently(lambda: heard(bot, "exit_fill"), within=30)
        await patiently(lambda: heard(bot, "new_candle"), within=75)
    assert figures(bot)["trading_orders_total:filled"] >= 1
    analyzed = figures(bot)["trading_freqtrade_analyzed_timestamp_seconds:BTC/USDT"]
    assert clock.timestamp() - analyzed < 180


async def test_a_wrong_token_is_refused_and_named(
    real: RealFreqtrade, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """403 before the connection is made; and Freqtrade writes every token into its log."""
    file = tmp_path / "token"
    file.write_text("not-the-one")
    listener = Listener("websocket", real.address, file, session, print)
    await listener.once()
    assert listener.problem == "HTTP 403: the ws_token may be wrong"
    assert "not-the-one" in real.log


async def hold_two(real: RealFreqtrade) -> None:
    """Enter by hand: after an exit the strategy waits for the next candle."""
    for pair in PAIRS:
        real.ask("POST", "/forceenter", {"pair": pair, "ordertype": "market"})
    await patiently(lambda: real.open_trades() == 2, within=90, what="two open trades")


async def is_dead(bot: FreqtradeBot) -> bool:
    await look(bot, "ping")
    return not bot.is_alive


def heard(bot: FreqtradeBot, kind: str) -> float:
    return figures(bot)[f"{MESSAGES}:{kind}"]


@contextlib.asynccontextmanager
async def running(listener: Listener) -> AsyncIterator[None]:
    task = asyncio.create_task(listener.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
