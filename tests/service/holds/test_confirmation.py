"""A bot that has just started sends no order before its holds are confirmed."""

from datetime import timedelta

import pytest

from tests.service.holds.bots import RealAgent
from tests.service.holds.conftest import Desk
from tests.service.holds.test_agent_monitor import watching
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.agent.fence import MAXIMUM_FENCE
from trading_ops.domain.hold import HeldState, Hold
from trading_ops.store import holds

LONGER_THAN_ANY_TEST = 3600.0
ADA = {"owner": "ada", "reason": "odd fills"}


async def enforced_until(desk: Desk, bot: RealAgent, denial: str | None) -> None:
    """Enforce, as the watch does each second, until the gate says this and nothing else before.

    A slow database may cost a round: nothing is confirmed in it.
    """

    async def is_reached() -> bool:
        before = bot.denial
        assert before in {"awaiting_holds", "trading_halted", denial}
        await desk.holding.enforce()
        return bot.denial == denial

    await eventually(is_reached)


@pytest.fixture
async def waiting(bot: RealAgent) -> RealAgent:
    """The bot, restarted so that only a confirmation opens its gate."""
    bot.stop()
    bot.holds_wait_seconds = LONGER_THAN_ANY_TEST
    bot.start()
    return bot


async def test_without_holds_the_first_look_opens_the_gate(desk: Desk, waiting: RealAgent) -> None:
    assert waiting.denial == "awaiting_holds"
    await enforced_until(desk, waiting, None)


async def test_a_fence_from_elsewhere_does_not_keep_the_gate_shut(
    desk: Desk, waiting: RealAgent
) -> None:
    """Else one command with the bot's own token would keep it from trading for ever."""
    await desk.directory.bot(desk.target).raise_fence(MAXIMUM_FENCE)
    await enforced_until(desk, waiting, None)


@pytest.mark.parametrize("lost", ["the file", "a hold placed while it was dead"])
async def test_a_hold_is_back_before_the_gate_opens(
    desk: Desk, waiting: RealAgent, lost: str
) -> None:
    """The bot's own file says that there is no hold; the database knows better."""
    await enforced_until(desk, waiting, None)
    if lost == "the file":
        placed = await desk.holding.place(desk.target, "halted", **ADA)
        await eventually((waiting.folder / "holds.json").exists)
        waiting.stop()
        waiting.forget()
    else:
        waiting.stop()
        placed = await desk.holding.place(desk.target, "halted", **ADA)
    waiting.start()
    assert (waiting.holds, waiting.denial) == (set(), "awaiting_holds")
    await enforced_until(desk, waiting, "trading_halted")
    assert waiting.holds == {placed.id}
    await desk.holding.release(desk.target, ids=None, owner="ada", reason="fills are right")
    await enforced_until(desk, waiting, None)


async def test_a_hold_that_another_replica_placed_counts(desk: Desk, waiting: RealAgent) -> None:
    """The database is read after the process has reported, so nothing older is confirmed."""
    hold = Hold(
        id="by-another",
        target="alpha",
        state=HeldState.HALTED,
        owner="ada",
        reason="odd fills",
        at=clock.now(),
    )
    desk.writer.submit(lambda c: holds.place(c, hold, now=clock.now())).result(30)
    await enforced_until(desk, waiting, "trading_halted")


async def test_nothing_is_confirmed_while_the_database_is_away(
    desk: Desk, waiting: RealAgent
) -> None:
    """What it holds is unknown then, and not none."""
    desk.break_database()
    await desk.holding.enforce()
    assert waiting.denial == "awaiting_holds"
    desk.repair_database()
    await enforced_until(desk, waiting, None)


async def test_a_confirmation_counts_for_one_process_only(desk: Desk, waiting: RealAgent) -> None:
    """One that arrives late must not open the gate of the next process."""
    former = waiting.incarnation
    waiting.stop()
    waiting.start()
    answer = await desk.directory.bot(desk.target).command(
        "confirm_holds",
        {"incarnation": former},
        attempt_id="late",
        fence=0,
        within=timedelta(seconds=60),
    )
    assert (answer.succeeded, waiting.denial) == (False, "awaiting_holds")


async def test_without_a_reconciler_the_wait_ends(bot: RealAgent) -> None:
    """A healthy bot is stopped for seconds at most; a halt in its own file stands."""
    bot.stop()
    bot.holds_wait_seconds = 0.2
    bot.start()
    await eventually(lambda: bot.denial is None)
    assert bot.agent is not None
    assert bot.agent.report()["awaiting_holds"] is False


async def test_the_watch_confirms(desk: Desk, waiting: RealAgent) -> None:
    """As built in production: the reconciler's watch does it without being asked."""
    async with watching(desk):
        await eventually(lambda: waiting.denial is None)
