"""What a Freqtrade tells, in the words of our own bots; and each trap of reading it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.free_ports import free_port
from tests.service.exporter.freqtrades import (
    EVERYTHING,
    EXCHANGE_LOGGER,
    PASSWORD,
    TIMEFRAME,
    FakeFreqtrade,
    entry,
)
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.exporter.collector import PolledSource
from trading_ops.exporter.freqtrade.bot import WATCHED_PAIRS, FreqtradeBot
from trading_ops.exporter.freqtrade.facts import NAMES, facts
from trading_ops.exporter.freqtrade.message_metrics import NAMES as HEARD_NAMES
from trading_ops.instrument.catalogue import CATALOGUE, get

FIGURES_OF = {
    "health": "trading_bot_heartbeat_timestamp_seconds",
    "show_config": "trading_state",
    "locks": "trading_state",
    "count": "trading_freqtrade_open_trades",
    "status": "trading_open_orders",
    "profit": "trading_realized_pnl",
    "balance": "trading_equity",
    "daily": "trading_freqtrade_daily_profit",
    "whitelist": "trading_market_data_timestamp_seconds",
    "pair_candles": "trading_market_data_timestamp_seconds",
    "logs": "trading_component_up:broker",
}
"""A figure that is absent when the endpoint has never given a good answer."""

OF_THE_EXCHANGE = {"status", "profit", "balance", "daily"}
"""They wait for each other, and no other waits for them."""

BUDGET_PER_SECOND = 7.0
"""What docs/freqtrade.md says of the exporter, for ten pairs and more."""

ASKS = {"show_config": {"show_config", "pair_candles"}, "whitelist": {"pair_candles"}}
"""Which collectors ask an endpoint, where it is not the one of its name alone."""


@contextlib.asynccontextmanager
async def reading(
    folder: Path, fake: FakeFreqtrade, password: str = PASSWORD
) -> AsyncIterator[FreqtradeBot]:
    async with fake.serving() as address, aiohttp.ClientSession() as session:
        yield FreqtradeBot(entry(folder, address, password=password), session)


async def look(bot: FreqtradeBot, *endpoints: str) -> dict[str, float]:
    """Read these endpoints, or all; return the figures, labels after a colon."""
    wanted = [
        watched for watched in bot.watched if not endpoints or endpoint_of(watched) in endpoints
    ]
    await asyncio.gather(*(watched.once() for watched in wanted))
    return figures(bot)


def figures(bot: FreqtradeBot, now: float | None = None) -> dict[str, float]:
    found = {}
    for family in facts(bot, clock.timestamp() if now is None else now):
        if family.type == "histogram":
            continue
        for sample in family.samples:
            assert set(sample.labels) == set(get(sample.name).labels)
            found[":".join([sample.name, *sample.labels.values()])] = sample.value
    return found


def endpoint_of(watched: PolledSource) -> str:
    return watched.source.name.rpartition(":")[2]


def collector(bot: FreqtradeBot, endpoint: str) -> PolledSource:
    (found,) = (watched for watched in bot.watched if endpoint_of(watched) == endpoint)
    return found


async def test_what_is_mapped_to_what(tmp_path: Path) -> None:
    """Every fact of a healthy Freqtrade, with its unit and under its name."""
    fake = FakeFreqtrade()
    async with reading(tmp_path, fake) as bot:
        seen = await look(bot)
    now = clock.timestamp()
    assert bot.is_alive
    assert seen["trading_bot_info:2026.9:paper"] == 1
    assert seen["trading_freqtrade_info:SampleStrategy:binance:1m"] == 1
    assert seen["trading_bot_start_timestamp_seconds"] == int(fake.started)
    assert seen["trading_bot_heartbeat_timestamp_seconds"] == int(fake.looped)
    states = {name: seen[f"trading_state:{name}"] for name in ("active", "reducing", "halted")}
    assert states == {"active": 1, "reducing": 0, "halted": 0}
    for component in ("broker", "feed", "heartbeat"):
        assert seen[f"trading_component_up:{component}"] == 1
    for pair in ("BTC/USDT", "ETH/USDT"):
        assert seen[f"trading_market_data_timestamp_seconds:{pair}"] == pytest.approx(now, abs=5)
        candle = seen[f"trading_freqtrade_candle_timestamp_seconds:{pair}"]
        assert candle == pytest.approx(fake.candle_opened, abs=0.01)
    assert seen["trading_freqtrade_timeframe_seconds"] == TIMEFRAME
    assert seen["trading_freqtrade_open_trades"] == 2
    assert seen["trading_freqtrade_max_open_trades"] == 3
    assert seen["trading_freqtrade_exposure:USDT"] == 199.5
    assert seen["trading_open_orders"] == 1
    assert seen["trading_open_positions"] == 2
    assert seen["trading_exposure:USDT"] == 0.002 * 49_000 + 1.5 * 60
    assert seen["trading_freqtrade_won_trades_total"] == 4
    assert seen["trading_freqtrade_last_trade_timestamp_seconds"] == 1_700_000_000
    assert seen["trading_freqtrade_starting_capital:USDT"] == 990
    last = "trading_component_last_success_timestamp_seconds"
    assert seen[f"{last}:heartbeat"] == int(fake.looped)
    assert seen[f"{last}:signals"] == pytest.approx(now, abs=5)
    assert seen["trading_position:BTC/USDT"] == 0.002
    assert seen["trading_position:ETH/USDT"] == 0
    assert seen["trading_position:SOL/USDT"] == -1.5
    assert seen["trading_balance:BTC"] == 0.002
    assert seen["trading_realized_pnl:USDT"] == 12.5
    assert seen["trading_unrealized_pnl:USDT"] == -2.5
    assert seen["trading_freqtrade_closed_trades_total"] == 7
    assert seen["trading_freqtrade_current_drawdown_ratio"] == 0.05
    assert seen["trading_freqtrade_max_drawdown_ratio"] == 0.2
    assert seen["trading_freqtrade_locks:global"] == seen["trading_freqtrade_locks:pair"] == 0
    assert seen["trading_freqtrade_exchange_warnings_total"] == 0


async def test_the_unrealized_profit_of_a_pair_needs_all_its_prices(tmp_path: Path) -> None:
    """The sum of its trades; 0 without a trade; absent while one has no price."""
    fake = FakeFreqtrade()
    first, *others = fake.answers["status"]
    fake.answers["status"] = [first, first | {"trade_id": 3, "profit_abs": 5.0}, *others]
    async with reading(tmp_path, fake) as bot:
        seen = await look(bot)
    assert seen["trading_position_unrealized_pnl:BTC/USDT"] == pytest.approx(2.8)
    assert seen["trading_position_unrealized_pnl:ETH/USDT"] == 0
    assert "trading_position_unrealized_pnl:SOL/USDT" not in seen


async def test_the_bots_money_is_reported_and_not_the_accounts(tmp_path: Path) -> None:
    """Of the balance it is the part that the bot manages; of the days it is today."""
    async with reading(tmp_path, FakeFreqtrade()) as bot:
        seen = await look(bot)
    assert seen["trading_equity:USDT"] == 1010
    assert seen["trading_freqtrade_daily_profit:USDT"] == -4.5


async def test_one_that_was_stopped_is_not_stuck(tmp_path: Path) -> None:
    """Stopped by command, it makes no loops; after a start it must."""
    fake = FakeFreqtrade()
    fake.looped -= 3600
    for state, stuck in (("stopped", None), ("paused", 0), ("running", 0)):
        fake.state = state
        async with reading(tmp_path, fake) as bot:
            assert (await look(bot)).get("trading_component_up:heartbeat") == stuck


async def test_a_resting_entry_is_no_loss(tmp_path: Path) -> None:
    """Its stake is neither free nor held to Freqtrade; orders of other clients are not added."""
    fake = FakeFreqtrade()
    for used, equity in ((0.0, 1010), (30.0, 1040), (500.0, 1060)):
        fake.answers["balance"]["currencies"][0]["used"] = used
        async with reading(tmp_path, fake) as bot:
            await look(bot, "show_config")
            seen = await look(bot, "balance")
        assert seen["trading_equity:USDT"] == equity
    fake.raw["status"] = (502, b"")
    async with reading(tmp_path, fake) as bot:
        await look(bot, "show_config")
        seen = await look(bot, "balance")
    assert "trading_equity:USDT" not in seen
    assert seen["trading_balance:BTC"] == 0.002


async def test_what_has_no_price_now_is_not_worth_nothing(tmp_path: Path) -> None:
    """The exchange is away: no equity is exported, rather than one that misses holdings."""
    fake = FakeFreqtrade()
    held = fake.answers["balance"]["currencies"][1]
    held["est_stake"] = 0.0
    for managed in (True, False):
        held["is_bot_managed"] = managed
        async with reading(tmp_path, fake) as bot:
            seen = await look(bot)
        assert ("trading_equity:USDT" in seen) is not managed


async def test_in_futures_a_positions_margin_is_no_resting_entry(tmp_path: Path) -> None:
    """It is reported as used as well, and is in the sum already."""
    fake = FakeFreqtrade()
    fake.answers["show_config"]["trading_mode"] = "futures"
    fake.answers["balance"]["currencies"][0]["used"] = 30.0
    async with reading(tmp_path, fake) as bot:
        await look(bot, "show_config")
        assert (await look(bot, "balance"))["trading_equity:USDT"] == 1010


async def test_value_without_a_price_is_not_reported(tmp_path: Path) -> None:
    """An exchange that does not answer leaves trades without their current rate."""
    fake = FakeFreqtrade()
    fake.answers["status"][0]["current_rate"] = None
    async with reading(tmp_path, fake) as bot:
        seen = await look(bot)
    assert "trading_exposure:USDT" not in seen
    assert seen["trading_open_positions"] == 2


async def test_the_catalogue_knows_every_name(tmp_path: Path) -> None:
    """A healthy Freqtrade has all that is promised, and nothing else."""
    async with reading(tmp_path, FakeFreqtrade()) as bot:
        seen = await look(bot)
    assert {name.partition(":")[0] for name in seen} == set(NAMES)
    own = {metric.name for metric in CATALOGUE if metric.name.startswith("trading_freqtrade_")}
    assert own <= {*NAMES, *HEARD_NAMES}


async def test_an_exchange_that_is_down_shows(tmp_path: Path) -> None:
    """Health and state stay good; the candles' age and the log tell it, and that it is over."""
    fake = FakeFreqtrade()
    async with reading(tmp_path, fake) as bot:
        assert (await look(bot))["trading_component_up:broker"] == 1
        fake.candle_opened = clock.timestamp() - 3 * TIMEFRAME - 20
        fake.warn(7)
        seen = await look(bot)
        assert seen["trading_state:active"] == 1
        assert seen["trading_component_up:heartbeat"] == 1
        assert seen["trading_component_up:broker"] == 0
        assert seen["trading_component_up:feed"] == 0
        age = clock.timestamp() - seen["trading_market_data_timestamp_seconds:BTC/USDT"]
        assert age == pytest.approx(20, abs=5)
        assert seen["trading_freqtrade_exchange_warnings_total"] == 7
        fake.candle_opened = clock.timestamp() - 70
        seen = await look(bot)
        assert seen["trading_component_up:feed"] == 1
        assert figures(bot, clock.timestamp() + 61)["trading_component_up:broker"] == 1


async def test_candles_that_cannot_be_read_any_more_grow_old(tmp_path: Path) -> None:
    """What was last known goes on ageing: silence is not freshness."""
    fake = FakeFreqtrade()
    async with reading(tmp_path, fake) as bot:
        await look(bot)
        fake.raw["pair_candles"] = (500, b"")
        await look(bot, "pair_candles")
        later = clock.timestamp() + 3 * TIMEFRAME
        seen = figures(bot, later)
    assert later - seen["trading_market_data_timestamp_seconds:BTC/USDT"] > 60
    assert seen["trading_component_up:feed"] == 0


async def test_pairs_without_candles_are_given_time(tmp_path: Path) -> None:
    """Right after a start there are none; after three timeframes they are late."""
    fake = FakeFreqtrade()
    fake.candle_opened = 0
    async with reading(tmp_path, fake) as bot:
        assert (await look(bot))["trading_component_up:feed"] == 1
        await look(bot)
        late = clock.timestamp() + 3 * TIMEFRAME + 1
        assert figures(bot, late)["trading_component_up:feed"] == 0


async def test_a_line_of_the_log_counts_once(tmp_path: Path) -> None:
    """The buffer is read again and again, turns over, and has lines of the same millisecond."""
    fake = FakeFreqtrade()
    moment = clock.timestamp() - 10
    async with reading(tmp_path, fake) as bot:
        fake.warn(2, at=moment)
        await look(bot, "logs")
        assert (await look(bot, "logs"))["trading_freqtrade_exchange_warnings_total"] == 2
        fake.log.append(list(fake.log[-1]))  # the same text in the same millisecond
        assert (await look(bot, "logs"))["trading_freqtrade_exchange_warnings_total"] == 3
        fake.log = fake.log[-2:]
        fake.warn(1)
        assert (await look(bot, "logs"))["trading_freqtrade_exchange_warnings_total"] == 4
        fake.log = []  # restarted
        assert (await look(bot, "logs"))["trading_freqtrade_exchange_warnings_total"] == 4


async def test_a_reload_is_no_restart(tmp_path: Path) -> None:
    """Its log is in the memory of its process, so it outlives the one and not the other."""
    fake = FakeFreqtrade()
    async with reading(tmp_path, fake) as bot:
        await look(bot, "health", "logs")
        fake.started += 60
        fake.warn(1)
        await look(bot, "health")
        assert (await look(bot, "logs"))["trading_freqtrade_reloads_total"] == 1
        fake.started += 60
        fake.log = []
        fake.warn(1)
        await look(bot, "health")
        assert (await look(bot, "logs"))["trading_freqtrade_reloads_total"] == 1


async def test_only_the_exchanges_warnings_count(tmp_path: Path) -> None:
    """Neither another logger's nor what is only information."""
    fake = FakeFreqtrade()
    fake.warn(3)
    fake.log[-1][2] = "freqtrade.exchangeable"
    fake.log[-2][3] = "INFO"
    async with reading(tmp_path, fake) as bot:
        seen = await look(bot, "logs")
    assert fake.log[-3][2] == EXCHANGE_LOGGER
    assert seen["trading_freqtrade_exchange_warnings_total"] == 1
    assert seen["trading_component_up:broker"] == 1


async def test_a_stuck_loop_shows_by_its_age(tmp_path: Path) -> None:
    """An exchange that throttles blocks the loop, while the state goes on saying `running`."""
    fake = FakeFreqtrade()
    fake.looped = clock.timestamp() - 80
    async with reading(tmp_path, fake) as bot:
        seen = await look(bot)
    assert seen["trading_state:active"] == 1
    assert clock.timestamp() - seen["trading_bot_heartbeat_timestamp_seconds"] >= 80
    assert seen["trading_component_up:heartbeat"] == 0


async def test_before_the_first_loop_nothing_is_known(tmp_path: Path) -> None:
    """Health is null until then; no time is made up for it."""
    fake = FakeFreqtrade()
    body = b'{"last_process": null, "last_process_ts": null, "bot_startup_ts": null}'
    fake.raw["health"] = (200, body)
    async with reading(tmp_path, fake) as bot:
        seen = await look(bot)
    assert collector(bot, "health").up
    assert not {"trading_bot_heartbeat_timestamp_seconds", "trading_component_up:heartbeat"} & {
        *seen
    }


async def test_a_slow_status_hides_nothing_else(tmp_path: Path) -> None:
    """It asks the exchange for prices; the rest is exported meanwhile."""
    fake = FakeFreqtrade()
    fake.hangs = {"status"}
    async with reading(tmp_path, fake) as bot:
        tasks = [asyncio.create_task(watched.once()) for watched in bot.watched]
        await asyncio.gather(
            *(
                watched.read_once.wait()
                for watched in bot.watched
                if endpoint_of(watched) not in OF_THE_EXCHANGE
            )
        )
        seen = figures(bot)
        assert not collector(bot, "status").read_once.is_set()
        fake.thaw()
        await asyncio.gather(*tasks)
        assert figures(bot)["trading_open_orders"] == 1
    assert seen["trading_component_up:heartbeat"] == 1
    assert seen["trading_freqtrade_open_trades"] == 2
    assert "trading_open_orders" not in seen


@pytest.mark.parametrize(
    ("state", "pair", "ends_in", "active", "expected"),
    [
        ("running", None, 0, True, "active"),
        ("running", "BTC/USDT", 600, True, "active"),
        ("running", "*", 600, True, "reducing"),
        ("running", "*", -1, True, "active"),
        ("running", "*", 600, False, "active"),
        ("paused", None, 0, True, "reducing"),
        ("paused", "BTC/USDT", 600, True, "reducing"),
        ("paused", "*", 600, True, "halted"),
        ("paused", "*", -1, True, "reducing"),
        ("stopped", None, 0, True, "halted"),
    ],
)
async def test_only_pause_and_lock_are_a_halt(
    tmp_path: Path, state: str, pair: str | None, ends_in: float, active: bool, expected: str
) -> None:
    """A pause is gone after a reload and a lock can be passed: each alone only reduces."""
    fake = FakeFreqtrade()
    fake.state = state
    if pair is not None:
        fake.lock(pair, ends_in=ends_in, active=active)
    async with reading(tmp_path, fake) as bot:
        seen = await look(bot)
    assert seen[f"trading_state:{expected}"] == 1
    assert sum(value for name, value in seen.items() if name.startswith("trading_state:")) == 1
    is_locked = pair == "*" and ends_in > 0 and active
    assert seen["trading_freqtrade_locks:global"] == is_locked


async def test_a_state_that_is_not_known_is_not_reported(tmp_path: Path) -> None:
    """While it reloads there is none, and without the locks it could be a halt."""
    fake = FakeFreqtrade()
    fake.state = "reload_config"
    async with reading(tmp_path, fake) as bot:
        assert "trading_state:active" not in await look(bot)
        fake.state = "running"
        assert "trading_state:active" in await look(bot)
        fake.raw["locks"] = (502, b'{"error": "Error querying /api/v1/locks: boom"}')
        assert "trading_state:active" not in await look(bot)


async def test_a_wrong_password_is_not_a_dead_bot(tmp_path: Path) -> None:
    """It answers pings, so it is not restarted; the failed reads are exported."""
    async with reading(tmp_path, FakeFreqtrade(), password="wrong") as bot:
        seen = await look(bot)
    assert bot.is_alive
    assert {endpoint_of(watched) for watched in bot.watched if watched.up} == {"ping"}
    assert set(seen) == {
        "trading_freqtrade_exchange_warnings_total",
        "trading_freqtrade_reloads_total",
    }


async def test_a_changed_password_needs_no_restart(tmp_path: Path) -> None:
    """The file is read at each call."""
    async with reading(tmp_path, FakeFreqtrade(), password="wrong") as bot:
        await look(bot, "count")
        (tmp_path / "freqtrade_freq").write_text(f"freqtrader:{PASSWORD}")
        assert (await look(bot, "count"))["trading_freqtrade_open_trades"] == 2


@pytest.mark.parametrize("content", [b"", b"freqtrader", b":x", b"a:b\nc:d", b"\xff\xfe", None])
async def test_credentials_that_cannot_be_used(tmp_path: Path, content: bytes | None) -> None:
    """The pings continue, and the reason names the file and never what is in it."""
    async with reading(tmp_path, FakeFreqtrade()) as bot:
        file = tmp_path / "freqtrade_freq"
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        await look(bot)
        while not bot.is_alive:  # a ping may time out on a busy machine; the next one is due soon
            await look(bot, "ping")
        with pytest.raises(Exception, match="freqtrade_freq") as caught:
            await collector(bot, "count").source.read()
    assert str(content) not in str(caught.value)


BAD = {
    "html": (200, b"<html><body>502 Bad Gateway</body></html>"),
    "empty": (200, b""),
    "null": (200, b"null"),
    "other shape": (200, b'{"surprise": 1}'),
    "list": (200, b"[1, 2, 3]"),
    "half": (200, b'{"locks": ['),
    "not utf-8": (200, b'{"status": "\xff\xfe"}'),
    "deep": (200, b"[" * 100_000),
    "redirect": (307, b""),
    "forbidden": (403, b'{"detail": "no"}'),
    "gone": (404, b'{"detail": "Not Found"}'),
    "throttled": (429, b"slow down"),
    "crashed": (500, b"Internal Server Error"),
    "not running": (502, b'{"error": "Error querying /api/v1/x: trader is not running"}'),
    "starting": (503, b""),
}


async def _fail_alone(bot: FreqtradeBot, meant: set[str]) -> bool:
    await look(bot)
    return (
        bot.is_alive
        and {endpoint_of(watched) for watched in bot.watched if not watched.up} == meant
    )


@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_answer_costs_that_endpoint_alone(tmp_path: Path, bad: str) -> None:
    """Whatever one endpoint answers, its figures are absent and those of the others are there."""
    for endpoint, lost in FIGURES_OF.items():
        fake = FakeFreqtrade()
        fake.raw[endpoint] = BAD[bad]
        meant = ASKS.get(endpoint, {endpoint})
        async with reading(tmp_path, fake) as bot:
            # On a busy machine a good answer may come too late.
            await eventually(partial(_fail_alone, bot, meant), what=endpoint)
            seen = figures(bot)
        assert not [name for name in seen if name.startswith(lost)], endpoint


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("health", b'{"last_process_ts": "soon", "bot_startup_ts": 1}'),
        ("health", b'{"last_process_ts": true, "bot_startup_ts": 1}'),
        ("health", b'{"last_process_ts": 99999999999, "bot_startup_ts": 1}'),
        ("health", b'{"last_process_ts": -5, "bot_startup_ts": 1}'),
        ("health", b'{"bot_startup_ts": 1}'),
        ("count", b'{"current": "2", "total_stake": 1}'),
        ("count", b'{"current": 1e400, "total_stake": 1}'),
        ("count", b'{"current": 1, "total_stake": NaN}'),
        ("count", b'{"current": 1, "total_stake": ' + b"9" * 5000 + b"}"),
        ("profit", b'{"profit_closed_coin": null, "profit_all_coin": 1}'),
        ("daily", b'{"data": []}'),
        ("status", b'[{"pair": "A\\nB", "is_short": false, "amount": 1, "stake_amount": 1}]'),
        (
            "status",
            b'[{"pair": "' + b"A" * 65 + b'","is_short":false,"amount":1,"stake_amount":1}]',
        ),
        ("balance", b'{"total_bot": 1, "currencies": [{"currency": "", "balance": 1}]}'),
        ("logs", b'{"logs": [["2026", 1, "logger", "INFO"]]}'),
        ("logs", b'{"logs": [["2026", 9e15, "logger", "INFO", "from the future"]]}'),
        ("pair_candles", b'{"data_stop_ts": 9e15}'),
        ("pair_candles", b'{"data_stop_ts": "2026"}'),
        ("locks", b'{"locks": [{"active": 1, "pair": "*", "lock_end_timestamp": 1}]}'),
    ],
)
async def test_what_cannot_be_true_is_not_believed(
    tmp_path: Path, endpoint: str, body: bytes
) -> None:
    """Wrong types, missing keys, numbers without bounds, times to come: the reading failed."""
    fake = FakeFreqtrade()
    fake.raw[endpoint] = (200, body)
    async with reading(tmp_path, fake) as bot:
        await look(bot)
    assert collector(bot, endpoint).failures == 1
    assert all(watched.up for watched in bot.watched if endpoint_of(watched) != endpoint)


@pytest.mark.parametrize("change", [{"timeframe_ms": 0}, {"state": "dancing"}, {"version": ""}])
async def test_a_configuration_that_cannot_be(tmp_path: Path, change: dict[str, object]) -> None:
    """A state that no one knows is not taken for a good one."""
    fake = FakeFreqtrade()
    fake.answers["show_config"] |= change
    fake.state = str(change.get("state", "running"))
    async with reading(tmp_path, fake) as bot:
        seen = await look(bot)
    assert not collector(bot, "show_config").up
    assert "trading_state:active" not in seen


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """However good the answer there is: the password goes to one address only."""
    fake = FakeFreqtrade()
    fake.answers["elsewhere"] = fake.answers["count"]
    fake.raw["count"] = (307, b"")
    async with reading(tmp_path, fake) as bot:
        await look(bot, "count")
        assert not collector(bot, "count").up
    assert "elsewhere" not in fake.asked


async def test_an_endless_answer_is_cut_off(tmp_path: Path) -> None:
    """More than eight megabytes are read from no one."""
    fake = FakeFreqtrade()
    fake.raw["status"] = (200, b"[" + b" " * 9_000_000 + b"]")
    async with reading(tmp_path, fake) as bot:
        await look(bot, "status")
        assert collector(bot, "status").failures == 1


async def test_huge_lists_stay_bounded(tmp_path: Path) -> None:
    """Neither hundreds of pairs nor of currencies become series, and few candles are asked for."""
    fake = FakeFreqtrade()
    names = [f"C{number}" for number in range(500)]
    fake.answers["whitelist"] = {"whitelist": [f"{name}/USDT" for name in names]}
    fake.answers["balance"] |= {
        "currencies": [{"currency": name, "balance": 1, "est_stake": 1} for name in names]
    }
    trade = fake.answers["status"][0]
    fake.answers["status"] = [
        trade | {"pair": f"{name}/USDT", "stake_amount": number}
        for number, name in enumerate(names)
    ]
    async with reading(tmp_path, fake) as bot:
        seen = await look(bot)

        async def were_all_asked() -> bool:
            if fake.asked.count("pair_candles") == WATCHED_PAIRS:
                return True
            fake.asked.clear()  # a busy machine answered too late
            await look(bot, "pair_candles")
            return False

        await eventually(were_all_asked)
    assert sum(name.startswith("trading_balance") for name in seen) == 100
    assert sum(name.startswith("trading_position:") for name in seen) <= 110
    assert sum(name.startswith("trading_position_unrealized_pnl") for name in seen) <= 110
    assert seen["trading_position:C499/USDT"] == 0.002


async def test_no_limit_of_trades_is_no_figure(tmp_path: Path) -> None:
    """-1 means that there is none, and would read as one that was passed."""
    fake = FakeFreqtrade()
    fake.answers["show_config"] |= {"max_open_trades": -1}
    async with reading(tmp_path, fake) as bot:
        assert "trading_freqtrade_max_open_trades" not in await look(bot)


async def test_a_pair_that_left_the_whitelist_is_forgotten(tmp_path: Path) -> None:
    """Its last candle would be old for ever."""
    fake = FakeFreqtrade()
    async with reading(tmp_path, fake) as bot:
        await look(bot)
        fake.answers["whitelist"] = {"whitelist": ["ETH/USDT"]}
        seen = await look(bot)
    assert "trading_market_data_timestamp_seconds:BTC/USDT" not in seen
    assert "trading_market_data_timestamp_seconds:ETH/USDT" in seen
    assert fake.queries["pair_candles"] == {"pair": "ETH/USDT", "timeframe": "1m", "limit": "1"}


async def test_one_that_was_stopped_has_no_dead_feed(tmp_path: Path) -> None:
    """It fetches no candles and does not count its trades; neither is a failure."""
    fake = FakeFreqtrade()
    fake.state, fake.candle_opened = "stopped", fake.candle_opened - 3600
    async with reading(tmp_path, fake) as bot:
        await look(bot, "show_config")
        seen = await look(bot)
        assert collector(bot, "count").up
    assert seen["trading_state:halted"] == 1
    assert "trading_component_up:feed" not in seen
    assert "trading_market_data_timestamp_seconds:BTC/USDT" not in seen
    assert "trading_freqtrade_candle_timestamp_seconds:BTC/USDT" in seen


async def test_a_wrong_password_is_no_dead_feed(tmp_path: Path) -> None:
    """What was read before it changed does not age into an alert about the market data."""
    fake = FakeFreqtrade()
    async with reading(tmp_path, fake) as bot:
        seen = await look(bot)
        assert "trading_market_data_timestamp_seconds:BTC/USDT" in seen
        for endpoint in ("show_config", "pair_candles", "health"):
            fake.raw[endpoint] = (401, b"{}")
        seen = await look(bot)
    assert bot.is_alive
    assert not [name for name in seen if name.startswith("trading_market_data_timestamp")]
    assert "trading_component_up:feed" not in seen


async def test_an_absent_process_is_dead(tmp_path: Path) -> None:
    """A connection that is refused: no ping, and nothing that was true a moment ago."""
    async with aiohttp.ClientSession() as session:
        bot = FreqtradeBot(entry(tmp_path, f"127.0.0.1:{free_port()}"), session)
        await look(bot)
        assert not bot.is_alive


async def test_a_frozen_process_is_dead_until_it_goes_on(tmp_path: Path) -> None:
    """Stopped by a signal it accepts connections and says nothing."""
    fake = FakeFreqtrade()
    async with reading(tmp_path, fake) as bot:
        await look(bot, "ping")
        assert bot.is_alive
        fake.hangs = {EVERYTHING}
        await look(bot, "ping")
        assert bot.ping.fresh is None
        fake.thaw()

        async def is_alive() -> bool:
            await look(bot, "ping")
            return bot.is_alive

        await eventually(is_alive)


async def test_a_frozen_process_is_not_flooded(tmp_path: Path) -> None:
    """While pings time out nothing else is asked, and pings themselves back off."""
    fake = FakeFreqtrade()
    fake.hangs = {EVERYTHING}
    async with reading(tmp_path, fake) as bot:
        await look(bot, "ping")
        fake.asked.clear()
        for _ in range(50):
            seen = await look(bot)
        assert set(fake.asked) <= {"ping"}  # on a slow machine the pause ends meanwhile
        assert len(fake.asked) < 10
        assert "trading_state:active" not in seen
        assert "not requested" in collector(bot, "health").problem
        fake.thaw()

        async def answers() -> bool:
            await look(bot, "ping")
            return bot.is_alive

        await eventually(answers)
        assert (await look(bot))["trading_state:active"] == 1


@pytest.mark.parametrize("body", [b"<html>", b'{"status": "starting"}', b"pong"])
async def test_another_server_at_its_port_is_not_it(tmp_path: Path, body: bytes) -> None:
    """Only the documented word counts as an answer to a ping."""
    fake = FakeFreqtrade()
    fake.raw["ping"] = (200, body)
    async with reading(tmp_path, fake) as bot:
        await look(bot, "ping")
        assert not bot.is_alive


async def test_every_request_is_counted_and_the_budget_kept(tmp_path: Path) -> None:
    """What the intervals add up to, and Freqtrade's requests: both match the page."""
    fake = FakeFreqtrade()
    async with reading(tmp_path, fake) as bot:
        await look(bot)
        (family,) = collector(bot, "ping").figures()
        (sample,) = family.samples
    assert sample.labels == {"bot": bot.name}
    assert sample.value == len(fake.asked)
    of_candles = 2 + WATCHED_PAIRS
    a_second = sum(
        (of_candles if endpoint_of(watched) == "pair_candles" else 1)
        / watched.source.interval_seconds
        for watched in bot.watched
    )
    assert a_second < BUDGET_PER_SECOND
