"""Operators' commands to the bot of a sweep, and the state they must leave after each crash.

A halt and a word for paper stand until a person takes them back, however often the bot dies
meanwhile. One that was not acknowledged may stand or not; what the next run finds is then kept.
"""

import asyncio
import random
from collections import Counter
from typing import Any

from tests.crash.bot_venue import ACCOUNT, BotVenue
from tests.crash.fork_server import ForkedProcess

EXTERNAL = "recovery-external_trade-BTC/USD"
ASKING, PAUSE_SECONDS = 20, 0.1
MOST_DEATHS = 2
"""Deaths beyond the first that a halt or mode switch survives before it is reverted."""


class OperatorCommands:
    """What was said, and not taken back yet."""

    def __init__(self, world: BotVenue, chance: random.Random) -> None:
        """Begin with nothing said."""
        self.acknowledged: Counter[str] = Counter()
        """How often each command was acknowledged, and how many deaths it survived."""

        self.external = False
        """Whether another client has traded on the account since its last hold was released."""

        self._world = world
        self._random = chance
        self._holds: set[str] = set()
        self._perhaps: set[str] = set()
        """Said, and not acknowledged."""

        self._paper: bool | None = False
        self._deaths = 0

    @property
    def must_not_trade(self) -> bool:
        """Whether a run that begins now may send nothing."""
        return bool(self._holds) or self._paper is True or self.external

    @property
    def wants_live(self) -> bool:
        """Whether a person is to say live."""
        return self._paper is True and self._deaths == 0

    async def send(self, process: ForkedProcess) -> bool:
        """Halt it, or send it to paper; return whether it was acknowledged."""
        self._deaths = self._random.randint(0, MOST_DEATHS)
        if self._random.random() < 1 / 3:
            self._paper = self._paper or None
            if await self._ask(process, "go_paper"):
                self._paper = True
                return True
            return False
        name = f"halt-{self._random.randrange(1 << 40)}"
        self._perhaps.add(name)
        if await self._ask(process, "halt", id=name):
            self._holds.add(name)
            return True
        return False

    async def send_go_live(self, process: ForkedProcess) -> None:
        """Switch back to live."""
        self._paper = None
        if await self._ask(process, "go_live", confirm=ACCOUNT):
            self._paper = False

    async def _ask(self, process: ForkedProcess, command: str, **params: str) -> bool:
        params |= {"owner": "anna", "reason": "a test"}
        for _ in range(ASKING):
            if await self._world.command(command, params):
                self.acknowledged[command] += 1
                return True
            if process.ended.done():
                return False
            await asyncio.sleep(PAUSE_SECONDS)
        return False

    def check(self, belief: dict[str, Any]) -> list[str]:
        """Return what is not as it was said, in sentences."""
        holds, wrong = set(belief["holds"]), []
        self._holds |= self._perhaps & holds
        for gone in self._holds if belief["state"] != "halted" else self._holds - holds:
            wrong.append(f"the halt {gone} is gone")
        if self.external and EXTERNAL not in holds:
            wrong.append("another client traded on the account, and no hold was placed")
        unasked = holds - self._holds - ({EXTERNAL} if self.external else set())
        if unasked:
            wrong.append(f"held by {', '.join(sorted(unasked))}")
        paper = belief["mode"] == "paper"
        if self._paper is not None and paper != self._paper:
            wrong.append(f"it is in {belief['mode']}, and the last word was another one")
        self._paper = paper
        return wrong

    def survive(self) -> None:
        """Count a death; take back what stood long enough."""
        if self._deaths and self.must_not_trade:
            self._deaths -= 1
            self.acknowledged["outlived"] += 1
        else:
            self.release_all()

    def release_all(self) -> None:
        """Release the bot's holds, so that the next run trades again; live is said to it then."""
        self._holds.clear()
        self._perhaps.clear()
        self.external = False
        self._deaths = 0
        (self._world.folder / "bot" / "holds.json").unlink(missing_ok=True)
