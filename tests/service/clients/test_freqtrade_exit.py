"""Out of everything: halted first, stopped last, and never stopped with anything open."""

import asyncio

import pytest

from tests.service.clients.test_freqtrade import HOLD, commanding, order
from tests.service.clients.trading_freqtrade import TradingFreqtrade
from tests.waiting import eventually
from trading_ops.clients import freqtrade_exit
from trading_ops.errors import Refused


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freqtrade_exit, "EXIT_AGAIN_SECONDS", 0.3)


async def test_the_order_that_works() -> None:
    """Pause and lock, then the exits, then the stop; and the halt stands afterwards."""
    fake = TradingFreqtrade(open_trades=2)
    async with commanding(fake) as bot:
        answer = await order(bot, "flatten", HOLD)
        assert answer.succeeded, answer.detail
        assert answer.detail == "halted, nothing is open, stopped"
        assert set(fake.orders[:2]) == {"pause", "locks"}
        assert fake.orders[2:] == ["forceexit", "stop"]
        assert (fake.open, fake.state) == (0, "stopped")
        health = await bot.health()
        assert health.state == "halted"
        assert health.holds is not None
        assert [(hold.id, hold.state) for hold in health.holds] == [("hold-1", "halted")]
        assert (await order(bot, "is_flat", {})).succeeded


async def test_an_exit_is_asked_for_again_until_nothing_is_open() -> None:
    """One trade's failure ends the whole request with 502; the count is what is believed."""
    fake = TradingFreqtrade(open_trades=3)
    fake.fails = [0, 1]
    async with commanding(fake) as bot:
        answer = await order(bot, "flatten", HOLD, seconds=10)
    assert answer.succeeded, answer.detail
    assert fake.orders.count("forceexit") == 3
    assert (fake.open, fake.orders[-1]) == (0, "stop")


@pytest.mark.parametrize("errors", [{"forceexit": 502}, {"stop": 502}, {"pause": 500}])
async def test_what_was_done_and_answered_with_an_error_is_done(errors: dict[str, int]) -> None:
    """As the cancelling of an unfilled entry is: 502, “no active trade”, and it is gone."""
    fake = TradingFreqtrade()
    fake.errors = errors
    async with commanding(fake) as bot:
        assert (await order(bot, "flatten", HOLD)).succeeded
    assert (fake.open, fake.state) == (0, "stopped")


async def test_what_cannot_be_closed_leaves_it_running_and_halted() -> None:
    """Never stopped with positions open: no one would manage them. It says how far it came."""
    fake = TradingFreqtrade(open_trades=2)
    fake.fails = [1, *[0] * 50]
    async with commanding(fake) as bot:
        answer = await order(bot, "flatten", HOLD, seconds=2)
        assert answer.outcome == "failed"
        assert answer.detail.startswith("halted; closing every position was not confirmed within")
        assert answer.detail.endswith("open positions: 1; it was not stopped")
        assert "stop" not in fake.orders
        assert (await bot.health()).state == "halted"
        flat = await order(bot, "is_flat", {})
        assert (flat.outcome, flat.detail) == ("failed", "open positions: 1")


async def test_what_cannot_be_counted_is_not_nothing() -> None:
    """An answer of another kind than a number: everything may be open still."""
    fake = TradingFreqtrade(open_trades=2)
    fake.raw["count"] = (502, b'{"error": "database is locked"}')
    async with commanding(fake) as bot:
        answer = await order(bot, "flatten", HOLD, seconds=1)
    assert answer.outcome == "failed"
    assert answer.detail.endswith("open positions: unknown how many; it was not stopped")
    assert "stop" not in fake.orders


async def test_an_entry_that_was_under_way_is_closed_as_well() -> None:
    """A loop that started before the pause may enter after the first exit: it is waited for."""
    fake = TradingFreqtrade(open_trades=0)
    fake.entering = 1
    fake.looped -= 60
    async with commanding(fake) as bot:
        assert (await order(bot, "flatten", HOLD)).succeeded
    assert fake.orders.count("forceexit") == 1
    assert (fake.open, fake.orders[-1]) == (0, "stop")


async def test_while_the_loop_is_blocked_it_is_not_stopped() -> None:
    """The exchange throttles it: no one knows what that loop still enters."""
    fake = TradingFreqtrade(open_trades=1)
    fake.blocked = True
    fake.looped -= 60
    async with commanding(fake) as bot:
        answer = await order(bot, "flatten", HOLD, seconds=2)
        assert answer.outcome == "failed"
        assert "its current loop to end was not confirmed" in answer.detail
        assert (fake.state, fake.open) == ("paused", 0)
        fake.blocked = False
        assert (await order(bot, "flatten", HOLD)).succeeded
    assert fake.state == "stopped"
    assert len(fake.active_locks()) == 1


async def test_one_that_is_stopped_is_paused_first() -> None:
    """Stopped it refuses every exit; its pause starts it, when the lock stands already."""
    fake = TradingFreqtrade(open_trades=2)
    fake.state = "stopped"
    async with commanding(fake) as bot:
        flat = await order(bot, "is_flat", {})
        assert (flat.outcome, flat.detail) == ("failed", "open positions: 2")
        answer = await order(bot, "flatten", HOLD)
        assert answer.succeeded, answer.detail
    assert fake.orders == ["locks", "pause", "forceexit", "stop"]
    assert fake.received[2] == ("forceexit", "paused")
    assert "paused instead of stopped" in answer.detail


async def test_one_that_someone_stops_meanwhile_is_brought_back() -> None:
    """An exit that has started is ended: a stop in the midst of it would leave positions alone."""
    fake = TradingFreqtrade(open_trades=2)
    fake.fails = [1, 0, 0]
    async with commanding(fake) as bot:
        leaving = asyncio.create_task(order(bot, "flatten", HOLD, seconds=10))
        await eventually(lambda: fake.open == 1)
        fake.state = "stopped"
        assert (await leaving).succeeded
    assert (fake.open, fake.state) == (0, "stopped")


async def test_without_a_halt_nothing_is_begun() -> None:
    """A lock that does not come: no exit is ordered, and the answer says which step it was."""
    fake = TradingFreqtrade()
    fake.deaf = {"locks"}
    async with commanding(fake) as bot:
        answer = await order(bot, "flatten", HOLD, seconds=1)
        assert answer.outcome == "failed"
        assert answer.detail.startswith("nothing is confirmed; the halt was not confirmed")
    assert "forceexit" not in fake.orders
    assert fake.state == "paused"
    async with commanding(TradingFreqtrade(), password="wrong") as bot:
        with pytest.raises(Refused, match="401"):
            await order(bot, "flatten", HOLD)


async def test_a_process_that_hangs_is_not_begun_with() -> None:
    """SIGSTOP: no answer at all, so there is no halt and therefore no exit; later it works."""
    fake = TradingFreqtrade()
    fake.hangs = {"*"}
    async with commanding(fake) as bot:
        assert (await order(bot, "flatten", HOLD, seconds=1)).outcome == "failed"
        assert "forceexit" not in fake.orders
        fake.thaw()
        assert (await order(bot, "flatten", HOLD)).succeeded
