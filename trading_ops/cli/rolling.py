"""Restart several bots one after another.

The first bot is the canary: it must stay healthy for a while before the next one is restarted. The
first bot that fails ends the rolling restart; the others are not restarted.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from trading_ops import clock

PAUSE_SECONDS = 0.5
UNTOUCHED = "not restarted, because {} failed"


@dataclass(frozen=True)
class ObservedBot:
    """State of a bot."""

    incarnation: str | None
    """None: the bot did not answer."""

    problem: str | None
    """Why the bot is not healthy; None: it is healthy."""


@dataclass(frozen=True)
class Requested:
    """The outcome of a request to restart a bot."""

    restarted: bool | None
    """None: unknown."""

    problem: str | None = None


@dataclass(frozen=True)
class Rolled:
    """Result for one bot."""

    bot: str
    restarted: bool | None
    """None: unknown."""

    problem: str | None
    """Why it was not restarted, or is not healthy; None: it was and is."""

    seconds: float


class FleetClient(Protocol):
    """Restarts bots and reads their state."""

    async def restart(self, bot: str) -> Requested:
        """Restart it."""

    async def state(self, bot: str, *, canary: bool) -> ObservedBot:
        """Return the state of a bot. A canary with an open critical incident is not healthy."""


async def roll(
    bots: Sequence[str], fleet: FleetClient, *, canary: timedelta, within: timedelta
) -> AsyncIterator[Rolled]:
    """Restart the bots in this order and yield the result of each.

    Args:
        bots: their names; a single one has no canary.
        fleet: restarts them.
        canary: how long the first of several must stay healthy without interruption.
        within: for a restarted bot to become healthy, besides the time as a canary.
    """
    failed = None
    for number, bot in enumerate(bots):
        if failed:
            yield Rolled(bot, restarted=False, problem=UNTOUCHED.format(failed), seconds=0.0)
            continue
        first = number == 0 and len(bots) > 1
        began = clock.monotonic()
        before = (await fleet.state(bot, canary=False)).incarnation
        requested = await fleet.restart(bot)
        problem = requested.problem
        if problem is None:
            stay = canary if first else timedelta(0)
            problem = await _until_healthy(
                bot, fleet, before, canary=first, stay=stay, within=within
            )
        failed = bot if problem else None
        seconds = round(clock.monotonic() - began, 1)
        restarted = requested.restarted if problem else True
        yield Rolled(bot, restarted=restarted, problem=problem, seconds=seconds)


async def _until_healthy(
    bot: str,
    fleet: FleetClient,
    before: str | None,
    *,
    canary: bool,
    stay: timedelta,
    within: timedelta,
) -> str | None:
    """Wait until the bot was healthy for `stay` in one incarnation; return the problem, or None."""
    deadline = clock.monotonic() + (within + stay).total_seconds()
    incarnation: str | None = None
    since: float | None = None
    while True:
        seen, now = await fleet.state(bot, canary=canary), clock.monotonic()
        if before is not None and seen.incarnation == before:  # it shuts down gracefully
            seen = ObservedBot(None, "the old process still runs")
        if incarnation and seen.incarnation not in {None, incarnation}:
            return f"it was restarted again: {incarnation} → {seen.incarnation}"
        incarnation = incarnation or seen.incarnation
        if seen.problem:
            since = None
        elif since is None:
            since = now
        if since is not None and now - since >= stay.total_seconds():
            return None
        if now > deadline:
            last_problem = (
                seen.problem or f"it was not healthy for {stay.total_seconds():g} s in a row"
            )
            return f"after {(within + stay).total_seconds():.0f} s: {last_problem}"
        await asyncio.sleep(PAUSE_SECONDS)
