"""A bot that comes back: what it finds of its earlier life, and what it continues from."""

import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.service.bot.conftest import Venue
from tests.service.botkit.conftest import sample, until
from trading_ops_lab.paper.bot.bot import Bot
from trading_ops_lab.paper.bot.config import BotConfig

pytestmark = pytest.mark.processes

Spawn = Callable[[], subprocess.Popen[bytes]]


def events(folder: Path, code: str) -> list[dict[str, Any]]:
    query = "SELECT detail FROM events WHERE kind = 'RECOVERY' AND code = ? ORDER BY id"
    with closing(sqlite3.connect(folder / "bot" / "bot.db")) as connection:
        return [msgspec.json.decode(row[0]) for row in connection.execute(query, (code,))]


async def started_bot(config: BotConfig) -> Bot:
    """Start a bot and wait until it has recovered."""
    bot = Bot(config)
    await bot.start()
    await until(lambda: bot.reconciliation.recovered)
    return bot


async def test_a_crash_is_found_reported_and_counted(
    venue: Venue, spawn: Spawn, config: BotConfig, tmp_path: Path
) -> None:
    """Each start after a kill is one more unclean start; an ordered end is none."""
    process = spawn()
    await until(lambda: venue.journal("dead_man_armed"), within=40)
    process.send_signal(signal.SIGKILL)
    process.wait()

    bot = await started_bot(config)
    assert sample(bot.metrics, "trading_bot_last_exit", how="crashed") == 1
    assert sample(bot.metrics, "trading_bot_unclean_starts_total") == 1
    (crash,) = events(tmp_path, "crash_found")
    assert (crash["pid"], crash["unclean"]) == (process.pid, 1)
    assert crash["away_seconds"] > 0
    await bot.stop()

    bot = await started_bot(config)
    assert sample(bot.metrics, "trading_bot_last_exit", how="clean") == 1
    assert sample(bot.metrics, "trading_bot_unclean_starts_total") == 1
    assert len(events(tmp_path, "crash_found")) == 1
    await bot.stop()


async def test_every_recovery_is_reported_whole(
    config: BotConfig, venue: Venue, tmp_path: Path
) -> None:
    """Also one that found nothing; one that found something tells each with its cause."""
    bot = await started_bot(config)
    assert sample(bot.metrics, "trading_startup_reconciliation_duration_seconds") > 0
    await bot.stop()
    await venue.deposit("USD", "12.5")
    bot = await started_bot(config)
    await bot.stop()
    bot = await started_bot(config)
    await bot.stop()
    first, second, third = events(tmp_path, "recovered")
    assert first["away_seconds"] is None
    assert [discrepancy["cause"] for discrepancy in second["found"]] == ["balance"]
    assert second["away_seconds"] >= 0
    assert second["took_seconds"] > 0
    assert (third["found"], third["count"]) == ([], 0)


async def test_a_heartbeat_is_written_while_work_is_done(config: BotConfig, venue: Venue) -> None:
    """The heartbeat advances with the passes only: it shows work, not a live process."""
    quick = msgspec.structs.replace(config, heartbeat_store_seconds=0.05)
    bot = await started_bot(quick)
    last = bot.run_record

    def beat() -> float | None:
        return last._run.beat_at if last._run else None

    await until(beat)
    seen = beat()
    await until(lambda: beat() != seen)
    await bot.supervisor.stop("heartbeat")
    await until(lambda: beat() == bot.heartbeat.beat_at)
    await bot.stop()


@pytest.mark.parametrize(("within", "prices"), [(60.0, True), (1e-9, False)])
async def test_signals_go_on_from_young_prices(
    config: BotConfig, venue: Venue, within: float, prices: bool
) -> None:
    """A restart costs no averages, and a long absence makes them start again."""
    await (await trading(config)).stop()
    late = msgspec.structs.replace(config, signals_restore_seconds=within)
    bot = Bot(late)
    await bot.start()
    recalled = bot.signals.prices_to_store().prices
    assert bool(recalled) is prices
    if prices:
        assert all(len(seen) >= config.slow_samples - 1 for seen in recalled.values())
    await bot.stop()


async def trading(config: BotConfig) -> Bot:
    bot = await started_bot(config)
    whole = config.slow_samples

    def seen() -> bool:
        found = bot.signals.prices_to_store().prices.values()
        return len(found) == len(config.symbols) and min(map(len, found)) == whole

    await until(seen)
    return bot
