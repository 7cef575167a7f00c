"""The load while processes die: notifications, and bots that fail and recover.

Whatever was answered 200 is remembered; the checks hold the database against it. A sender behaves
like Alertmanager: it tries again until it is answered 200, and any answer but 200 and 503 is a
finding of its own.
"""

import asyncio
import contextlib
import itertools
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.crash.services import Episode, World, alert_of, labels_of
from trading_ops import clock

WEBHOOK = "/api/v1/webhook/alertmanager"
KINDS: dict[str, frozenset[str]] = {
    "Sick": frozenset({"reconnect_broker", "restart_bot"}),
    "Stubborn": frozenset({"restart_bot"}),
    "Down": frozenset({"restart_bot"}),
    "Stuck": frozenset({"restart_component"}),
    "Hopeless": frozenset(),
    "NeverHeardOf": frozenset(),
}
"""The action that fixes each alert."""

RUNBOOK = """\
---
version: 1
alert: {alert}
target: bot
steps:
{steps}
limits: {{cooldown: 0s, attempts: 1000000, window: 1h}}
verify: {{query: 'up{{bot="$bot"}} == 1', for: 0s}}
page_after: 5m
---
# {alert}
"""
RECONNECT = "  - {{action: reconnect_broker, timeout: {timeout}, verify_within: 1s}}"
RESTART = "  - {{action: restart_bot, timeout: {timeout}, verify_within: 1s}}"
COMPONENT = (
    "  - {{action: restart_component, with: {{component: feed}}, timeout: {timeout},"
    " verify_within: 1s}}"
)
STEPS = {
    "Sick": [RECONNECT, RESTART],
    "Stubborn": [RECONNECT, RESTART],
    "Down": [RESTART],
    "Stuck": [COMPONENT],
    "Hopeless": [RECONNECT, RESTART],
}
"""No runbook has more than one one-shot: an episode has at most one such effect."""


def runbook_texts(timeout: str = "2s") -> dict[str, str]:
    """Return the runbooks of the crash tests by alert; `timeout` is that of each step."""
    return {
        alert: RUNBOOK.format(alert=alert, steps="\n".join(steps).format(timeout=timeout))
        for alert, steps in STEPS.items()
    }


@dataclass
class Promised:
    """What was answered 200."""

    notifications: set[str] = field(default_factory=set)
    alerts: set[str] = field(default_factory=set)
    """By their `episode` label."""


@dataclass
class Load:
    """Senders and illnesses of one round."""

    world: World
    urls: list[str]
    """Of every reconciler's webhook; a sender takes the next one when one does not answer."""

    token: str
    seed: int
    ill_at_once: int = 3
    episode_seconds: float = 3.0
    """Maximum duration of a fault that no action fixes, while processes are killed."""

    promised: Promised = field(default_factory=Promised)
    answers: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._numbers = itertools.count(1)
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._going = True

    async def start(self, *, senders: int, pause: float) -> None:
        """Begin; `pause` is each sender's rest between two notifications, in seconds."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        work = [self._send_flashes(pause) for _ in range(senders)]
        work += [self._let_fall_ill() for _ in range(self.ill_at_once)]
        self._tasks = [asyncio.create_task(coroutine) for coroutine in work]

    async def stop_falling_ill(self) -> None:
        """Nothing new from now on; what is under way comes to its end."""
        self._going = False
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Let go of everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def end_illnesses(self) -> None:
        """Let every illness pass, and tell of it."""
        for episode in list(self.world.episodes.values()):
            self.world.end(episode)
            await self.notify([alert_of(episode.labels, ended=True)])

    async def notify(self, alerts: list[dict[str, Any]]) -> None:
        """Send until it is answered 200, or the round ends."""
        key = f"n{next(self._numbers)}"
        body = json.dumps(
            {"version": "4", "status": "firing", "groupKey": key, "alerts": alerts}
        ).encode()
        for url in itertools.cycle(self.urls):
            if await self._post(url, body):
                break
            await asyncio.sleep(0.01)
        self.promised.notifications.add(key)
        self.promised.alerts |= {
            alert["labels"]["episode"] for alert in alerts if alert["status"] == "firing"
        }

    async def _post(self, url: str, body: bytes) -> bool:
        assert self._session is not None
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            async with self._session.post(url + WEBHOOK, data=body, headers=headers) as response:
                await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            self.answers["none"] += 1
            return False
        self.answers[str(status)] += 1
        return status == 200

    async def _send_flashes(self, pause: float) -> None:
        """Alerts that only the webhook reports: polling cannot make up for a lost one."""
        while self._going:
            count = self._random.choice((1, 1, 2, 5))
            labels = [labels_of("Flash", next(self._numbers)) for _ in range(count)]
            await self.notify([alert_of(alert_labels) for alert_labels in labels])
            await asyncio.sleep(pause * 2 * self._random.random())

    async def _let_fall_ill(self) -> None:
        while self._going:
            well = [
                bot
                for bot in self.world.bots
                if bot not in self.world.episodes or not self.world.episodes[bot].firing
            ]
            alert = self._random.choice(list(KINDS))
            episode = Episode(
                number=next(self._numbers),
                bot=self._random.choice(well),
                alert=alert,
                fixed_by=KINDS[alert],
            )
            self.world.fall_ill(episode)
            if self._random.random() < 0.6:  # the others are found by the poll
                await self.notify([alert_of(episode.labels)])
            await self._follow(episode)

    async def _follow(self, episode: Episode) -> None:
        """Wait until it is resolved; sometimes with a notification, sometimes without."""
        until = clock.monotonic() + self.episode_seconds
        # Several things may end it, one of them the time.
        while episode.firing and clock.monotonic() < until and self._going:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        if self._going:
            self.world.end(episode)
            if self._random.random() < 0.5:
                await self.notify([alert_of(episode.labels, ended=True)])

    @contextlib.asynccontextmanager
    async def running(self, *, senders: int, pause: float) -> Any:
        """Start, and let go at the end whatever happens."""
        await self.start(senders=senders, pause=pause)
        try:
            yield self
        finally:
            await self.stop()
