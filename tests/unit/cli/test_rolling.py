"""The order of a rolling restart, and where it stops."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from trading_ops.cli.rolling import PAUSE_SECONDS, ObservedBot, Requested, Rolled, roll

OLD = ObservedBot("0", None)
HEALTHY = ObservedBot("1", None)
CANARY = timedelta(seconds=PAUSE_SECONDS)


class Bots:
    """Bots whose state is a function of the name and of how often it was asked for."""

    def __init__(self, look: Callable[[str, int], ObservedBot], refuse: str = "") -> None:
        self._look = look
        self._refuse = refuse
        self.restarted: list[str] = []
        self.asked: Counter[str] = Counter()
        self.canaries: set[str] = set()

    async def restart(self, bot: str) -> Requested:
        self.restarted.append(bot)
        if bot == self._refuse:
            return Requested(restarted=False, problem="refused: automation is paused")
        return Requested(restarted=True)

    async def state(self, bot: str, *, canary: bool) -> ObservedBot:
        if bot not in self.restarted:
            return OLD
        self.asked[bot] += 1
        if canary:
            self.canaries.add(bot)
        return self._look(bot, self.asked[bot])


async def rolled(fleet: Bots, *bots: str) -> list[Rolled]:
    return [bot async for bot in roll(bots, fleet, canary=CANARY, within=timedelta(0))]


async def problems(fleet: Bots, *bots: str) -> list[str | None]:
    return [bot.problem for bot in await rolled(fleet, *bots)]


async def test_the_first_of_several_is_watched_and_the_others_follow() -> None:
    fleet = Bots(lambda _bot, _times: HEALTHY)
    assert await problems(fleet, "a", "b", "c") == [None, None, None]
    assert fleet.restarted == ["a", "b", "c"]
    assert fleet.canaries == {"a"}
    assert fleet.asked["a"] > 1
    assert (fleet.asked["b"], fleet.asked["c"]) == (1, 1)


async def test_a_single_bot_is_no_canary() -> None:
    fleet = Bots(lambda _bot, _times: HEALTHY)
    assert await problems(fleet, "a") == [None]
    assert (fleet.canaries, fleet.asked["a"]) == (set(), 1)


@pytest.mark.parametrize(
    ("later", "why"),
    [
        (ObservedBot("2", None), "restarted again: 1 → 2"),
        (ObservedBot("1", "degraded (feed)"), "degraded"),
        (ObservedBot(None, "no answer"), "no answer"),
    ],
)
async def test_a_canary_that_does_not_stay_healthy_spares_the_others(
    later: ObservedBot, why: str
) -> None:
    fleet = Bots(lambda _bot, times: HEALTHY if times == 1 else later)
    first, second, third = await problems(fleet, "a", "b", "c")
    assert why in str(first)
    assert second == third == "not restarted, because a failed"
    assert fleet.restarted == ["a"]


async def test_a_failed_canary_was_restarted_and_the_others_were_not() -> None:
    """The result distinguishes: not restarted, and restarted but not healthy."""
    sick = Bots(lambda _bot, _times: ObservedBot("1", "degraded (feed)"))
    assert [bot.restarted for bot in await rolled(sick, "a", "b")] == [True, False]
    refused = Bots(lambda _bot, _times: HEALTHY, refuse="a")
    assert [bot.restarted for bot in await rolled(refused, "a", "b")] == [False, False]
    well = Bots(lambda _bot, _times: HEALTHY)
    assert [bot.restarted for bot in await rolled(well, "a", "b")] == [True, True]


async def test_a_canary_that_is_restarted_by_its_manager_between_two_answers_failed() -> None:
    states = {1: HEALTHY, 2: ObservedBot(None, "no answer")}
    fleet = Bots(lambda _bot, times: states.get(times, ObservedBot("2", None)))
    rolled = roll(["a", "b"], fleet, canary=CANARY, within=timedelta(seconds=30))
    first, _second = [bot.problem async for bot in rolled]
    assert "restarted again" in str(first)


async def test_a_later_failure_ends_the_roll_too() -> None:
    fleet = Bots(lambda _bot, _times: HEALTHY, refuse="b")
    first, second, third = await problems(fleet, "a", "b", "c")
    assert (first, second) == (None, "refused: automation is paused")
    assert third == "not restarted, because b failed"
    assert fleet.restarted == ["a", "b"]


async def test_the_old_process_is_not_taken_for_the_restarted_one() -> None:
    """While it drains it still answers, and is healthy."""
    fleet = Bots(lambda _bot, times: OLD if times <= 2 else HEALTHY)
    rolled = roll(["a", "b"], fleet, canary=CANARY, within=timedelta(seconds=30))
    assert [bot.problem async for bot in rolled] == [None, None]
    assert min(fleet.asked.values()) > 2
