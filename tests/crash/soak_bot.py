"""The bot of a soak: a real process, its agent asked as the reconciler asks it.

Run as a module it is the same bot with planted defects that the soak must find.
"""

import argparse
import asyncio
import os
import random
import re
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from tests.crash import bot_defects
from tests.crash.bot_venue import BotVenue
from tests.crash.fork_server import ROOT
from trading_ops import clock
from trading_ops.instrument.topics.components import COMPONENTS
from trading_ops_lab.paper.bot import __main__ as bot_main
from trading_ops_lab.paper.bot.feed import Feed, Ticker

LOOK_SECONDS = 1.0
DOWN_SECONDS = 4.0
"""Time for which a component is down before it is fixed: shorter outages end on their own."""

AGAIN_SECONDS = 10.0
"""Between two attempts to fix one component."""

WHIM_SECONDS = (15.0, 60.0)
"""Between two orders that nothing asked for."""

TASKS = re.compile(r"^trading_tasks(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
CRASHES = ("component_crashed", "pass_crashed", "work_failed", "never retrieved", "Traceback")
"""What a bot must not log, whatever its venue does."""

_hoard: list[bytes] = []
_files: list[int] = []
_tasks: list[asyncio.Task[None]] = []


def _hoarding(keep: Callable[[], None]) -> Callable[[], None]:
    def plant() -> None:
        quote = Feed._quote

        def hoard(self: Feed, ticker: Ticker) -> None:
            keep()
            quote(self, ticker)

        setattr(Feed, "_quote", hoard)  # noqa: B010 - a private name of the product

    return plant


async def _wait_for_ever() -> None:
    await asyncio.Event().wait()


PLANTS: dict[str, Callable[[], None]] = {
    **bot_defects.PLANTS,
    "leak": _hoarding(lambda: _hoard.append(secrets.token_bytes(256 * 1024))),
    "leak-files": _hoarding(lambda: _files.append(os.open(os.devnull, os.O_RDONLY))),
    "leak-tasks": _hoarding(lambda: _tasks.append(asyncio.ensure_future(_wait_for_ever()))),
}


class SoakBot:
    """A bot under watch."""

    def __init__(self, world: BotVenue, seed: int, plants: list[str]) -> None:
        """Take the venue's world; nothing is started yet."""
        self.commands: Counter[str] = Counter()
        self.health: Counter[str] = Counter()
        """Looks by what they found, `silent` for no answer."""

        self.holds: dict[str, str] = {}
        """Every hold that was ever seen, by its id, with its reason."""

        self.tasks = 0.0
        self.ready = False
        """Whether it is healthy, has recovered and completes passes."""

        self._world, self._plants = world, plants
        self._random = random.Random(seed + 2)
        self._down: dict[str, float] = {}
        self._log = world.folder / "bot.log"
        self._token = (world.folder / "secrets" / "metrics_token").read_text()

    def start(self) -> None:
        """Start the process."""
        code: tuple[str, ...] = ("-m", "trading_ops_lab.paper.bot", "--config", "bot.json")
        if self._plants:
            code = ("-m", "tests.crash.soak_bot", *self._plants, "--config", "bot.json")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *code],
                cwd=self._world.folder,
                env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        """Return the id of its process."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Say whether it is gone."""
        return self._process.poll() is not None

    async def stop(self, within: float = 20.0) -> int:
        """Tell it to end; return its exit code. One that does not end is killed."""
        self._process.terminate()
        try:
            return await asyncio.to_thread(self._process.wait, within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def crashes(self) -> list[str]:
        """Return the lines of its log that tell of a bug."""
        with self._log.open(encoding="utf-8", errors="replace") as log:
            return [
                line.strip()[:300] for line in log if any(pattern in line for pattern in CRASHES)
            ]

    async def watch(self) -> None:
        """Check each second, and fix what stays down, as the reconciler would."""
        while True:
            report = await self._get("/health")
            await self._get("/metrics/vital")
            self.health[report["status"] if report else "silent"] += 1
            self.ready = bool(report) and report["status"] == "ok" and report["recovered"]
            for hold in report["holds"] if report else ():
                self.holds[hold["id"]] = hold["reason"]
            for name, part in (report["components"] if report else {}).items():
                await self._recover(name, up=part["up"])
            await asyncio.sleep(LOOK_SECONDS)

    async def order_at_whim(self) -> None:
        """Order something now and then that nothing asked for: it must do no harm."""
        while True:
            await asyncio.sleep(self._random.uniform(*WHIM_SECONDS))
            await self.order(*self._random.choice(self._whims()))

    def _whims(self) -> list[tuple[str, dict[str, str]]]:
        restarts = [("restart_component", {"component": name}) for name in sorted(COMPONENTS)]
        others = ("reconnect_broker", "resync_nonce", "reconcile_positions", "cancel_orders")
        return [*restarts, *((name, {}) for name in others)]

    async def order(self, name: str, params: dict[str, str]) -> bool:
        """Have a command done; return whether it succeeded."""
        done = await self._world.command(name, params)
        self.commands[f"{name} {'done' if done else 'failed'}"] += 1
        return done

    async def count_tasks(self) -> None:
        """Read how many tasks its loop has."""
        text = await self._get("/metrics", as_json=False)
        if text:
            self.tasks = sum(float(number) for number in TASKS.findall(text))

    async def _recover(self, name: str, *, up: bool) -> None:
        now = clock.monotonic()
        if up:
            self._down.pop(name, None)
            return
        since = self._down.setdefault(name, now)
        if now - since < DOWN_SECONDS:
            return
        self._down[name] = now + AGAIN_SECONDS - DOWN_SECONDS
        if name == "broker":
            await self.order("reconnect_broker", {})
        elif name != "heartbeat":  # which is down because of others
            await self.order("restart_component", {"component": name})

    async def _get(self, path: str, *, as_json: bool = True) -> Any:
        url = f"http://127.0.0.1:{self._world.agent_port}{path}"
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            async with self._world.http.get(url, headers=headers) as answer:
                return await (answer.json() if as_json else answer.text())
        except (aiohttp.ClientError, TimeoutError):
            return None


def be(arguments: list[str]) -> int:
    """Be a bot with a planted defect."""
    parser = argparse.ArgumentParser()
    parser.add_argument("plants", nargs="+", choices=sorted(PLANTS))
    parser.add_argument("--config", type=Path, required=True)
    given = parser.parse_args(arguments)
    for name in given.plants:
        PLANTS[name]()
    return bot_main.main(["--config", str(given.config)])


if __name__ == "__main__":
    sys.exit(be(sys.argv[1:]))
