"""A trading bot does less on command, and clears its queues of what no one waits for."""

import asyncio

import pytest

from tests.service.bot.conftest import Control
from tests.service.botkit.conftest import sample, until
from trading_ops.botkit.component import Unavailable
from trading_ops_lab.paper.bot.bot import Bot

pytestmark = pytest.mark.processes


async def test_a_throttled_bot_asks_less_and_goes_on_automatically(
    bot: Bot, control: Control
) -> None:
    """No more passes than the longer pauses leave room for; then it ends, and nothing is down."""
    reply = await control.command("throttle_load", seconds="2")
    assert reply["outcome"] == "succeeded", reply
    assert sample(bot.metrics, "trading_load_throttle_factor") == 4
    assert bot.throttle.pause(0.2) == pytest.approx(0.8)
    assert bot.throttle.pause(0.3) == 1.0  # a third of the dead man's switch's time
    beats = set()

    def ended() -> bool:
        beats.add(bot.heartbeat.beat_at)
        return sample(bot.metrics, "trading_load_throttle_factor") == 1

    await until(ended)
    assert 1 < len(beats) <= 5  # it would be ten
    before = bot.heartbeat.beat_at
    await until(lambda: bot.heartbeat.beat_at != before)
    assert bot.heartbeat.up


async def test_what_is_refused_changes_nothing(bot: Bot, control: Control) -> None:
    """An invalid time."""
    with pytest.raises(AssertionError, match="whole number"):
        await control.command("throttle_load", seconds="soon")
    assert sample(bot.metrics, "trading_load_throttle_factor") == 1


async def test_only_abandoned_requests_are_dropped(bot: Bot, control: Control) -> None:
    """Requests queue up at a stopped stage; those whose caller gave up are dropped."""
    reply = await control.command("clear_queue")
    assert reply["outcome"] == "failed"
    assert reply["detail"].startswith("no request is abandoned")
    await bot.supervisor.stop("heartbeat", "signals")
    # The heartbeat may have been waiting for an answer when it was stopped.
    left = int(sample(bot.metrics, "trading_queue_depth", queue="signals"))
    asked = bot.feed.quotes
    for _ in range(3):
        with pytest.raises(Unavailable):
            await bot.signals.ask(asked, within=0.01)
        bot.signals.breaker.succeed()
    waited_for = asyncio.create_task(bot.signals.ask(asked, within=60))
    await until(lambda: sample(bot.metrics, "trading_queue_depth", queue="signals") == left + 4)
    reply = await control.command("clear_queue")
    assert reply["outcome"] == "succeeded", reply
    dropped = f"dropped: {left + 3} of signals; 1 requests are queued"
    assert reply["detail"].endswith(dropped)
    assert sample(bot.metrics, "trading_queue_depth", queue="signals") == 1
    assert sample(bot.metrics, "trading_queue_dropped_total", queue="signals") == left + 3
    assert sample(bot.metrics, "trading_queue_dropped_total", queue="orders") == 0
    assert not waited_for.done()
    waited_for.cancel()
