"""Messages of a Freqtrade are read at once; without them nothing else is lost."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service.exporter.freqtrades import EVERYTHING, PAIRS, FakeFreqtrade, entry
from tests.service.exporter.test_exporter import exporter, scrape
from tests.waiting import eventually
from trading_ops.exporter.freqtrade.bot import REFRESHED_BY, FreqtradeBot
from trading_ops.exporter.freqtrade.listener import LARGEST_MESSAGE_BYTES, Listener
from trading_ops.exporter.freqtrade.message_metrics import (
    DELAY,
    KINDS,
    MESSAGES,
    ORDERS,
    MessageMetrics,
)
from trading_ops.exporter.freqtrade.reading import EndpointReading
from trading_ops.exporter.freqtrade.triggered import RequestBudget, TriggeredReading
from trading_ops.instrument.catalogue import get
from trading_ops.instrument.topics.orders import OUTCOMES

BOT = "/metrics?bot=freq"
LISTENER = ("freqtrade:freq:websocket",)
MINUTE = 60.0


def take(
    metrics: MessageMetrics, kind: str, now: float = 0.0, data: object = None, **more: object
) -> str:
    text = json.dumps({"type": kind, "data": data, **more})
    return metrics.add(text, now, timeframe=MINUTE, pairs=PAIRS)


def figures_of(metrics: MessageMetrics) -> dict[str, float]:
    """Return every sample, with its label values after colons."""
    return {
        ":".join([sample.name, *sample.labels.values()]): sample.value
        for family in metrics.families()
        for sample in family.samples
    }


def candle(metrics: MessageMetrics, at: float, pair: str = PAIRS[0]) -> None:
    take(metrics, "new_candle", at, [pair, "1m", "spot"])


def test_every_kind_is_counted_and_is_there_from_the_start() -> None:
    """A rate needs the zero before the first one."""
    metrics = MessageMetrics()
    assert all(figures_of(metrics)[f"{MESSAGES}:{kind}"] == 0 for kind in KINDS)
    for count, kind in enumerate(KINDS, 1):
        for _ in range(count):
            assert take(metrics, kind) == kind
    assert {kind: figures_of(metrics)[f"{MESSAGES}:{kind}"] for kind in KINDS} == {
        kind: count for count, kind in enumerate(KINDS, 1)
    }


def test_orders_are_counted_by_how_they_ended() -> None:
    """Four messages tell of an end; two of them of a beginning, which is no outcome yet."""
    metrics = MessageMetrics()
    ended = ("entry", "entry_fill", "entry_cancel", "exit", "exit_fill", "exit_fill", "exit_cancel")
    for kind in ended:
        take(metrics, kind, pair="BTC/USDT", amount=1)
    outcomes = {
        name: value for name, value in figures_of(metrics).items() if name.startswith(ORDERS)
    }
    assert outcomes == {f"{ORDERS}:filled": 3, f"{ORDERS}:cancelled": 2}
    assert {name.partition(":")[2] for name in outcomes} <= set(OUTCOMES)


def test_a_candles_delay_counts_from_its_close() -> None:
    """Of candles that follow one another; the first one after a start comes at any time."""
    metrics = MessageMetrics()
    for at in (31.0, 61.2, 122.4, 181.0):
        candle(metrics, at)
    candle(metrics, 125.0, PAIRS[1])
    seen = figures_of(metrics)
    assert seen[f"{DELAY}_count:{PAIRS[0]}"] == 3
    assert seen[f"{DELAY}_sum:{PAIRS[0]}"] == pytest.approx(1.2 + 2.4 + 1.0)
    assert seen[f"{DELAY}_bucket:{PAIRS[0]}:1.0"] == 1
    assert seen[f"{DELAY}_bucket:{PAIRS[0]}:2.0"] == 2
    assert seen[f"{DELAY}_bucket:{PAIRS[0]}:+Inf"] == 3
    assert f"{DELAY}_count:{PAIRS[1]}" not in seen


@pytest.mark.parametrize("moments", [(61.0, 61.5), (61.0, 100.0), (61.0, 241.0)])
def test_an_analysis_that_follows_on_no_candle_measures_nothing(moments: tuple[float, ...]) -> None:
    """Twice in one timeframe, as by a reload; or after a gap, which the candle's age tells."""
    metrics = MessageMetrics()
    for at in moments:
        candle(metrics, at)
    assert f"{DELAY}_count:{PAIRS[0]}" not in figures_of(metrics)


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{}", "5", '{"type": 5}', '{"type": null}', "not JSON", '{"type":',
        '{"type": "new_candle"}', '{"type": "new_candle", "data": []}',
        '{"type": "new_candle", "data": [["BTC/USDT"]]}', '{"type": "new_candle", "data": "BTC"}',
        '{"type": "new_candle", "data": {"0": "BTC/USDT"}}', '{"type": "A\\nB"}',
        '{"type": "new_candle", "data": ["EVIL/USDT", "1m", "spot"]}', "[" * 100_000,
        '{"type": "' + "x" * 100_000 + '"}', '{"type": "\\ud800"}', '{"type": "__class__"}',
    ],
)  # fmt: skip
def test_hostile_messages_make_no_series(text: str) -> None:
    """Whatever is sent, it is counted under a known name and nothing else comes of it."""
    metrics = MessageMetrics()
    before = set(figures_of(metrics))
    assert metrics.add(text, 61.0, timeframe=MINUTE, pairs=PAIRS) in KINDS
    metrics.add(text, 121.0, timeframe=MINUTE, pairs=PAIRS)
    assert set(figures_of(metrics)) == before
    assert (
        sum(value for name, value in figures_of(metrics).items() if name.startswith(MESSAGES)) == 2
    )


def test_a_pair_that_left_the_whitelist_leaves_the_delays() -> None:
    """Its last delay would stand for ever."""
    metrics = MessageMetrics()
    candle(metrics, 1.0)
    candle(metrics, 61.0)
    assert figures_of(metrics)[f"{DELAY}_count:{PAIRS[0]}"] == 1
    metrics.add(
        '{"type": "new_candle", "data": ["SOL/USDT"]}', 62.0, timeframe=MINUTE, pairs=["SOL/USDT"]
    )
    assert f"{DELAY}_count:{PAIRS[0]}" not in figures_of(metrics)


def test_only_known_endpoints_are_looked_at() -> None:
    """Each kind that is looked into is one that is asked for."""
    assert set(REFRESHED_BY) <= set(KINDS)
    assert get(DELAY).buckets == tuple(sorted(get(DELAY).buckets))


@contextlib.asynccontextmanager
async def listening(folder: Path, fake: FakeFreqtrade) -> AsyncIterator[aiohttp.ClientSession]:
    async with fake.serving() as address:
        target = entry(folder, address, ws_token="listen")
        async with exporter(folder, freqtrades=(target,)) as session:
            yield session


async def samples(session: aiohttp.ClientSession) -> dict[str, float]:
    async with session.get(BOT) as answer:
        assert answer.status == 200
        text = await answer.text()
    return {
        ":".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scores(session: aiohttp.ClientSession) -> tuple[float, float, float]:
    """Return up, failures and last success of the listening."""
    seen = await scrape(session)
    names = ("up", "failures_total", "last_success_timestamp_seconds")
    up, failures, success = (seen[f"trading_exporter_collector_{name}"][LISTENER] for name in names)
    return up, failures, success


async def test_a_message_is_counted_and_triggers_a_read(tmp_path: Path) -> None:
    """A fill: counted, and the trades are asked for long before their 15 s are over."""
    fake = FakeFreqtrade()
    async with listening(tmp_path, fake) as session:
        await eventually(lambda: fake.subscribed)
        assert "new_candle" in fake.subscribed[0]
        assert not {"other", "analyzed_df", "whitelist"} & set(fake.subscribed[0])
        asked, daily = fake.asked.count("status"), fake.asked.count("daily")
        await fake.tell("entry_fill", pair="BTC/USDT", trade_id=3)
        await eventually(lambda: fake.asked.count("status") == asked + 1)
        assert fake.asked.count("daily") == daily
        await fake.tell("exit_fill", pair="BTC/USDT", trade_id=3)
        await eventually(lambda: fake.asked.count("daily") == daily + 1)
        seen = await samples(session)
    assert seen[f"{ORDERS}:filled"] == 2
    assert seen[f"{MESSAGES}:entry_fill"] == 1


async def test_a_flood_of_messages_is_counted_and_asks_little(tmp_path: Path) -> None:
    """Five thousand messages are one look, or two."""
    fake = FakeFreqtrade()
    async with listening(tmp_path, fake) as session:
        await eventually(lambda: fake.subscribed)
        asked = fake.asked.count("status")
        for _ in range(5_000):
            await fake.tell("entry")

        async def all_heard() -> bool:
            return (await samples(session))[f"{MESSAGES}:entry"] == 5_000

        await eventually(all_heard)
        assert fake.asked.count("status") - asked < 10


@pytest.mark.parametrize("trouble", ["refused", "wrong token", "hangs", "html"])
async def test_who_cannot_listen_loses_nothing_else(tmp_path: Path, trouble: str) -> None:
    """It counts as down; everything that is polled is reported as before."""
    fake = FakeFreqtrade()
    if trouble == "wrong token":
        fake.ws_token = "another"
    elif trouble == "hangs":
        fake.hangs = {"message/ws"}
    else:
        fake.raw["message/ws"] = (404 if trouble == "refused" else 200, b"<html>")
    async with listening(tmp_path, fake) as session:
        seen = await samples(session)

        async def failed() -> bool:
            return (await scores(session))[1] >= 1

        await eventually(failed)
        assert (await scores(session))[0] == 0
        others = (await scrape(session))["trading_exporter_collector_up"]
        assert all(up for name, up in others.items() if name != LISTENER)
        fake.hangs.clear()
        fake.thaw()
    assert seen["trading_state:active"] == 1
    assert seen[f"{ORDERS}:filled"] == 0


async def test_a_connection_that_ends_is_made_again(tmp_path: Path) -> None:
    """As at each reload, which closes it with 1012; what was counted stays."""
    fake = FakeFreqtrade()
    async with listening(tmp_path, fake) as session:
        await eventually(lambda: fake.subscribed)
        await fake.tell("warning", status="x")
        await fake.hang_up()
        await eventually(lambda: len(fake.subscribed) == 2)
        await fake.tell("warning", status="y")

        async def both() -> bool:
            return (await samples(session))[f"{MESSAGES}:warning"] == 2

        await eventually(both)
        up, failures, success = await scores(session)
        assert (up, failures) == (1, 1)
        assert success > 0


async def test_a_message_that_is_too_large_costs_the_connection_alone(tmp_path: Path) -> None:
    """It is not kept in memory; another connection follows."""
    fake = FakeFreqtrade()
    async with listening(tmp_path, fake) as session:
        await eventually(lambda: fake.subscribed)
        await fake.tell("warning", status="x" * (LARGEST_MESSAGE_BYTES + 1))
        await eventually(lambda: len(fake.subscribed) == 2)
        assert (await samples(session))[f"{MESSAGES}:warning"] == 0


async def test_the_pause_between_connections_grows(tmp_path: Path) -> None:
    """A Freqtrade that is away for a night is not asked every second."""
    pauses: list[float] = []

    class Impatient(Listener):
        async def once(self) -> None:
            await super().once()
            now = asyncio.get_running_loop().time()
            pauses.append(now)

    token = tmp_path / "token"
    token.write_text("x")
    fake = FakeFreqtrade()
    fake.ws_token = "another"
    async with fake.serving() as address, aiohttp.ClientSession() as session:
        task = asyncio.create_task(
            Impatient("freqtrade:freq:websocket", address, token, session, print).run()
        )
        await eventually(lambda: len(pauses) == 3)
        task.cancel()
    assert pauses[1] - pauses[0] > 0.9
    assert pauses[2] - pauses[1] > 1.9


@pytest.mark.parametrize("content", [None, b"", b"two\nlines", b"\xff\xfe"])
async def test_a_token_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    """By its file, never on its own."""
    fake = FakeFreqtrade()
    async with fake.serving() as address, aiohttp.ClientSession() as session:
        target = entry(tmp_path, address, ws_token="x")
        file = tmp_path / "freqtrade_freq.ws_token"
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        bot = FreqtradeBot(target, session)
        (listener,) = (watched for watched in bot.watched if isinstance(watched, Listener))
        await listener.once()
    assert listener.failures == 1
    assert str(file) in listener.problem


async def test_the_token_is_never_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is part of the address, which errors like to name."""
    fake = FakeFreqtrade()
    fake.ws_token = "another"
    async with listening(tmp_path, fake) as session:
        for status in (403, 500):
            fake.raw["message/ws"] = (status, b"")

            async def failed(at_least: float = (await scores(session))[1] + 1) -> bool:
                return (await scores(session))[1] >= at_least

            await eventually(failed)
    printed = capsys.readouterr()
    assert "freqtrade:freq:websocket" in printed.out + printed.err
    assert "listen" not in (printed.out + printed.err).replace("listener", "")


async def test_without_a_token_everything_is_polled(tmp_path: Path) -> None:
    """And what could only be heard is absent, never zero."""
    fake = FakeFreqtrade()
    async with (
        fake.serving() as address,
        exporter(tmp_path, freqtrades=(entry(tmp_path, address),)) as session,
    ):
        seen = await samples(session)
        assert LISTENER not in (await scrape(session))["trading_exporter_collector_up"]
    assert seen["trading_state:active"] == 1
    assert not [name for name in seen if name.startswith((ORDERS, MESSAGES, DELAY))]


async def test_a_frozen_one_is_not_listened_to_for_ever(tmp_path: Path) -> None:
    """It hangs before it answers: the connection is given up, and the end is not held up."""
    fake = FakeFreqtrade()
    fake.hangs = {EVERYTHING}
    async with asyncio.timeout(120), listening(tmp_path, fake) as session:
        assert (await scores(session))[0] == 0
        fake.thaw()
        await eventually(lambda: fake.subscribed)


async def test_a_hurried_reading_comes_early_and_not_too_often() -> None:
    """Hurried all the time, it reads once a second or its interval, whichever is shorter."""
    moments: list[float] = []

    async def ask() -> None:
        moments.append(asyncio.get_running_loop().time())

    prompt = TriggeredReading(
        EndpointReading("x", ask, interval_seconds=3600, timeout_seconds=1), RequestBudget()
    )
    task = asyncio.create_task(prompt.run())
    await eventually(lambda: moments)
    prompt.trigger()
    await eventually(lambda: len(moments) == 2)
    for _ in range(50):
        prompt.trigger()
        await asyncio.sleep(0)
    await eventually(lambda: len(moments) == 3)
    task.cancel()
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert all(gap >= 0.9 for gap in gaps)
