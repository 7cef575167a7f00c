"""The watchers of a real bot: what they export and name, and that each can be off."""

import threading

import msgspec
import pytest

from tests.service.bot.conftest import Control, Venue
from tests.service.botkit.conftest import sample, until
from trading_ops.instrument.watchers import Watcher
from trading_ops_lab.paper.bot.bot import Bot
from trading_ops_lab.paper.bot.config import BotConfig

pytestmark = pytest.mark.processes


async def test_bot_is_watched(bot: Bot, control: Control) -> None:
    """A scrape tells of the loop, memory, tasks, components and collections."""
    await until(lambda: sample(bot.metrics, "trading_event_loop_delay_seconds_count") >= 2)
    text = await control.get("/metrics")
    for line in (
        "trading_memory_leak_suspected 0",
        "trading_task_leak_suspected 0",
        f'trading_tasks{{coroutine="Supervisor._supervise"}} {len(bot.supervisor.components)}',
        'trading_component_stuck{component="feed"} 0',
        'trading_component_stuck{component="store"} 0',
        'trading_gc_pause_seconds_count{generation="0"}',
        "trading_event_loop_worst_delay_seconds",
    ):
        assert line in text


async def test_feed_without_progress_is_stuck_until_it_moves(
    config: BotConfig, venue: Venue
) -> None:
    """Seen from outside: the connection is open, and nothing comes."""
    bot = Bot(msgspec.structs.replace(config, stuck_seconds=2.0))
    await bot.start()

    def stuck(component: str) -> bool:
        return sample(bot.metrics, "trading_component_stuck", component=component) == 1

    try:
        await until(lambda: bot.heartbeat.beat_at, within=20)
        await venue.break_("stale_feed")
        await until(lambda: stuck("feed"))
        # Nothing is asked of it any more: it waits for work.
        assert not stuck("orders")
        await venue.clear_faults()
        await until(lambda: not stuck("feed"))
    finally:
        await bot.stop()


async def test_all_can_be_off(config: BotConfig, venue: Venue) -> None:
    """Then there is no thread of theirs and no metric."""
    before = {thread.name for thread in threading.enumerate()}
    bot = Bot(msgspec.structs.replace(config, watchers=frozenset(), trace_memory=False))
    await bot.start()
    try:
        await until(lambda: bot.heartbeat.beat_at, within=20)
        names = {family.name for family in bot.metrics.registry.collect()}
        assert not names & {
            "trading_threads",
            "trading_component_stuck",
            "trading_gc_pause_seconds",
        }
        assert "watchers" not in {thread.name for thread in threading.enumerate()} - before
    finally:
        await bot.stop()


async def test_default_is_all(config: BotConfig) -> None:
    assert config.watchers == set(Watcher)
    assert config.trace_memory
